"""The notebook's code runs, offline, without a notebook."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import transformers
from PIL import Image

from apet import embedded

NOTEBOOK = Path(__file__).parents[2] / "examples" / "quickstart.ipynb"
TEMPLATE = (
    "{% for message in messages %}{% for part in message['content'] %}{% if part['type'] == 'image' %}"
    "<|vision_start|><image><|vision_end|>{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endfor %}"
)


def cells_run(**constants):
    """Runs the cells in order, with other values for the constants of the first; gives the names they set."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    first, *rest = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    names: dict[str, object] = {}
    exec(compile(first, str(NOTEBOOK), "exec"), names)
    assert {"MODEL", "PHOTO"} <= set(names)
    names |= constants
    for source in rest:
        exec(compile(source, str(NOTEBOOK), "exec"), names)
    return names


def test_the_cells_run_in_order(capsys):
    names = cells_run()
    assert names["MODEL"] is None
    assert "63 of 576 visual tokens" in capsys.readouterr().out
    assert [sum(one.tokens_stage1 for one in images) for images in names["results"]] == [29, 86, 190]


class _Processor(transformers.Qwen2_5_VLProcessor):
    """Qwen2.5-VL's own, but for the part that reads videos: that one needs torchvision."""

    def check_argument_for_proper_class(self, argument_name, argument):
        if argument_name != "video_processor":
            super().check_argument_for_proper_class(argument_name, argument)


@pytest.fixture
def tiny_qwen(tmp_path, monkeypatch):
    """A folder with a tiny Qwen2.5-VL of random weights, and its processor."""
    _, small = embedded.load()
    tokenizer = small.tokenizer
    marks = ["<|vision_start|>", "<|vision_end|>", "<|video_pad|>"]
    tokenizer.add_special_tokens({"extra_special_tokens": marks})
    start, end, video = tokenizer.convert_tokens_to_ids(marks)
    config = transformers.Qwen2_5_VLConfig(
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "patch_size": 14,
            "out_hidden_size": 64,
            "window_size": 56,
            "fullatt_block_indexes": [1],
        },
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 64,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0},
            "bos_token_id": 1,
            "eos_token_id": None,  # what random weights say does not end by chance
            "pad_token_id": 0,
        },
        image_token_id=tokenizer.image_token_id,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
    )
    transformers.Qwen2_5_VLForConditionalGeneration(config).save_pretrained(tmp_path / "model")
    images = transformers.Qwen2VLImageProcessorPil(size={"shortest_edge": 3136, "longest_edge": 100_352})
    processor = _Processor(image_processor=images, tokenizer=tokenizer, chat_template=TEMPLATE)
    asked: list[str] = []
    monkeypatch.setattr(
        transformers.AutoProcessor, "from_pretrained", lambda name: asked.append(name) or processor
    )
    yield str(tmp_path / "model")
    assert asked == [str(tmp_path / "model")]


def test_the_cells_run_with_a_qwen(tiny_qwen, tmp_path, capsys):
    photo = tmp_path / "photo.jpg"
    Image.radial_gradient("L").resize((420, 224)).convert("RGB").save(photo)
    names = cells_run(MODEL=tiny_qwen, PHOTO=str(photo))
    assert type(names["model"]) is transformers.Qwen2_5_VLForConditionalGeneration
    assert names["picture"].size == (420, 224)
    assert "13 of 120 visual tokens" in capsys.readouterr().out  # 8 rows of 15
    assert [sum(one.tokens_stage1 for one in images) for images in names["results"]] == [6, 18, 40]
