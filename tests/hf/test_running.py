"""Ways of running a model: compiled decode, offloading, other vision settings."""

from __future__ import annotations

import pytest
import torch
from accelerate import cpu_offload
from transformers import LlavaConfig, LlavaForConditionalGeneration, PixtralVisionConfig

from apet.hf import compressing
from tests.hf.cases import PROMPTS, STAGES, method
from tests.hf.oracle import dropped_columns, masked
from tests.hf.tiny import IMAGE_TOKEN, prompts, sharpen, tiny_llava

OPTIONS = {"max_new_tokens": 6, "do_sample": False}


@pytest.fixture(scope="module")
def compiled():
    """A model whose decode steps are traced in one graph; counts the graphs."""
    model = tiny_llava()
    graphs = []

    def backend(graph, _):
        graphs.append(graph)
        return graph

    def compiled_call(_):
        torch._dynamo.reset()
        return torch.compile(model.__call__, backend=backend, fullgraph=True)

    model.get_compiled_call = compiled_call
    model._valid_auto_compile_criteria = lambda *_, **__: True
    return model, graphs


@pytest.mark.parametrize("rows", ["equal", "level"])
@pytest.mark.parametrize("stage", STAGES)
def test_compiled_decode_is_one_graph(llava, compiled, rows, stage):
    """``fullgraph`` fails on a graph break; a second graph would be a recompile between steps."""
    model, graphs = compiled
    graphs.clear()
    inputs = prompts(PROMPTS[rows])
    with compressing(llava, method(stage)), compressing(model, method(stage)):
        out = model.generate(**inputs, cache_implementation="static", **OPTIONS)
        assert torch.equal(out, llava.generate(**inputs, **OPTIONS))
    assert len(graphs) == 1


@pytest.mark.parametrize("stage", STAGES)
def test_offloading_hooks(llava, stage):
    """Accelerate rebuilds the inputs of a model on their way in."""
    model = tiny_llava()
    cpu_offload(model, execution_device="cpu")
    inputs = prompts(PROMPTS["ragged"])
    with compressing(llava, method(stage)), compressing(model, method(stage)):
        assert torch.equal(model.generate(**inputs, **OPTIONS), llava.generate(**inputs, **OPTIONS))


@pytest.mark.parametrize("layer", [-2, [-2, -1]])
def test_vision_layer_and_strategy(layer):
    """Several vision layers side by side, with the CLS token: 37 tokens of another width."""
    model = tiny_llava()
    model.config.vision_feature_layer, model.config.vision_feature_select_strategy = layer, "full"
    if isinstance(layer, list):
        model.model.multi_modal_projector.linear_1 = torch.nn.Linear(64, 64)
    inputs = prompts([["i", 5]])
    ids = inputs["input_ids"]
    inputs["input_ids"] = torch.cat([ids[:, :1], torch.tensor([[IMAGE_TOKEN]]), ids[:, 1:]], 1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    with compressing(model, method("both")) as session:
        model.generate(**inputs, **OPTIONS)
    (image,) = session.images
    assert (image.tokens, image.tokens_stage1, image.tokens_stage2) == (37, 12, 5)


def test_images_of_several_sizes():
    """Pixtral's encoder gives the images of a batch in one row; each is a segment of its own."""
    torch.manual_seed(0)
    text = tiny_llava().config.text_config
    vision = PixtralVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        head_dim=16,
        image_size=64,
        patch_size=4,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=IMAGE_TOKEN,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )
    model = LlavaForConditionalGeneration(config).eval()
    sharpen(model)
    rows = [[1, *[IMAGE_TOKEN] * 24, 5, 9], [1, *[IMAGE_TOKEN] * 20, 7]]
    length = max(map(len, rows))
    ids = torch.tensor([[0] * (length - len(row)) + row for row in rows])
    real = ids != 0
    pixels = torch.randn(2, 3, 24, 20)
    inputs = {
        "input_ids": ids,
        "attention_mask": real.long(),
        "position_ids": (real.long().cumsum(1) - 1).clamp(min=0),
        "pixel_values": pixels,
        "image_sizes": torch.tensor([[24, 16], [16, 20]]),
    }
    chosen = type(method("both"))(keep=0.5, merge=False)
    with compressing(model, chosen) as session:
        out = model(**inputs).logits
        images = session.images
    assert [(image.row, image.tokens, image.tokens_stage1) for image in images] == [(0, 24, 12), (1, 20, 10)]
    first, second = dropped_columns(ids, images)
    with masked(model, real, first, second, 99):
        expected = model(**inputs).logits
    stays = real & ~first
    torch.testing.assert_close(out[stays], expected[stays], atol=1e-4, rtol=0)
