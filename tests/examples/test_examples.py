"""The examples run offline: only loading is replaced, of models and of processors that need torchvision."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import transformers
from transformers import BatchFeature

from apet import embedded
from tests.hf.families import RECIPES
from tests.hf.families.recipe import batch

EXAMPLES = Path(__file__).parents[2] / "examples"
PICTURE = str(EXAMPLES / "scene.png")


def example(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def small(monkeypatch):
    """The embedded model in place of a checkpoint."""
    model, processor = embedded.load()
    loaded = {
        transformers.LlavaForConditionalGeneration: model,
        transformers.AutoModelForImageTextToText: model,
        transformers.AutoProcessor: processor,
    }
    for cls, value in loaded.items():
        monkeypatch.setattr(cls, "from_pretrained", lambda *_, value=value, **__: value)


class Reader:
    """Stands for Qwen's processor: the inputs of a recipe, whatever the conversation says."""

    def __init__(self, recipe, row):
        self.inputs = batch(recipe, [row])

    def apply_chat_template(self, conversation, **options):
        kinds = [part["type"] for part in conversation[0]["content"]]
        assert kinds[-1] == "text"
        assert options["tokenize"]
        assert options["return_dict"]
        return BatchFeature(self.inputs)

    def batch_decode(self, ids, **_):
        return [" ".join(map(str, row)) for row in ids.tolist()]


@pytest.fixture
def tiny_qwen(monkeypatch):
    recipe = RECIPES["qwen2_5_vl"]
    model, reader = recipe.build("sdpa"), Reader(recipe, ["v", 2, "i", 5])
    for cls in (transformers.Qwen2_5_VLForConditionalGeneration, transformers.AutoModelForImageTextToText):
        monkeypatch.setattr(cls, "from_pretrained", lambda *_, **__: model)
    monkeypatch.setattr(transformers.AutoProcessor, "from_pretrained", lambda *_, **__: reader)


@pytest.mark.usefixtures("small")
def test_llava(capsys):
    example("llava").main(PICTURE, "What does the text say?")
    _, counts, worst = capsys.readouterr().out.splitlines()
    assert worst.startswith("worst explained: token ")
    first, *kept = [int(word) for word in counts.replace(",", "").split() if word.isdigit()]
    assert first == 576
    assert kept[0] > kept[-1]


@pytest.mark.usefixtures("small")
def test_batch(capsys):
    example("batch").main(PICTURE, PICTURE)
    lines = capsys.readouterr().out.splitlines()
    assert [line.count("64 of 576") for line in lines] == [1, 2, 0]


@pytest.mark.usefixtures("tiny_qwen")
def test_qwen_video(capsys):
    example("qwen2_5_vl_video").main("clip.mp4", PICTURE, "What is this?")
    assert capsys.readouterr().out.splitlines()[1:] == [
        "video: 4 of 32 tokens in 2 parts",
        "image: 2 of 16 tokens in 1 parts",
    ]


@pytest.mark.usefixtures("tiny_qwen")
def test_any_family(capsys):
    example("families").main(["qwen2_5_vl", PICTURE, "--video", "clip.mp4"])
    assert capsys.readouterr().out.splitlines()[1:] == [
        "video 0, part 0: 4 of 16 tokens",
        "video 0, part 1: 4 of 16 tokens",
        "image 0, part 0: 4 of 16 tokens",
    ]


def test_a_video_for_images_only(capsys):
    with pytest.raises(SystemExit):
        example("families").main(["llava", "--video", "clip.mp4"])
    assert "LLaVA-1.5 takes image only" in capsys.readouterr().err
