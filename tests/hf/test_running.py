"""Ways of running a model: compiled decode, offloading, other vision settings."""

from __future__ import annotations

import pytest
import torch
from accelerate import cpu_offload, dispatch_model
from torch._dynamo.utils import counters
from transformers import (
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PixtralVisionConfig,
    StaticCache,
)

from apet.hf import compressing
from tests.hf.cases import PROMPTS, STAGES, method
from tests.hf.families.build import sharpen
from tests.hf.oracle import dropped, masked
from tests.hf.tiny import IMAGE_TOKEN, prompts, tiny_llava

OPTIONS = {"max_new_tokens": 6, "do_sample": False}


@pytest.fixture(scope="module")
def eager():
    """Of three layers: what a trace costs grows with them."""
    return tiny_llava(layers=3)


@pytest.fixture(scope="module")
def compiled():
    """The same model; its decode steps are traced by dynamo, and run as traced."""
    model = tiny_llava(layers=3)

    def compiled_call(_):
        torch._dynamo.reset()
        counters.clear()
        return torch.compile(model.__call__, backend="eager")

    model.get_compiled_call = compiled_call
    model._valid_auto_compile_criteria = lambda *_, **__: True
    return model


def check_one_graph():
    """Every step since the last generation began ran the same graph, with no break in it."""
    assert counters["stats"]["unique_graphs"] == 1
    assert not counters["graph_break"]
    assert not counters["recompiles"]


@pytest.mark.parametrize("rows", ["equal", "level"])
@pytest.mark.parametrize("stage", STAGES)
def test_compiled_decode_is_one_graph(eager, compiled, rows, stage):
    inputs = prompts(PROMPTS[rows])
    with compressing(eager, method(stage)), compressing(compiled, method(stage)):
        out = compiled.generate(**inputs, cache_implementation="static", **OPTIONS)
        check_one_graph()
        assert torch.equal(out, eager.generate(**inputs, **OPTIONS))


@pytest.mark.parametrize("stage", STAGES)
def test_compiled_decode_behind_a_second_image(eager, compiled, stage):
    inputs, more = prompts(PROMPTS["one"]), prompts([["i", 4]], seed=2)
    outputs = []
    with compressing(eager, method(stage)), compressing(compiled, method(stage)):
        for model in (eager, compiled):
            cache = StaticCache(config=eager.config.get_text_config(), max_cache_len=128)
            cache = model(**inputs, past_key_values=cache).past_key_values
            ids = torch.cat([inputs["input_ids"], more["input_ids"]], 1)
            given = {"input_ids": ids, "pixel_values": more["pixel_values"], "past_key_values": cache}
            outputs.append(model.generate(**given, disable_compile=model is eager, **OPTIONS))
        check_one_graph()
    assert torch.equal(*outputs)


def test_the_counters_would_notice(compiled):
    """A step that looks at a value breaks the graph, and one of another shape compiles anew."""
    inputs = prompts(PROMPTS["one"])
    hook = compiled.model.language_model.norm.register_forward_hook(lambda *args: print(end=""))
    compiled.generate(**inputs, cache_implementation="static", max_new_tokens=3, do_sample=False)
    hook.remove()
    with pytest.raises(AssertionError):
        check_one_graph()


@pytest.mark.parametrize("stage", STAGES)
def test_assisted_decoding(llava, stage):
    """A text model drafts, the compressed model decides."""
    torch.manual_seed(0)
    assistant = LlamaForCausalLM(llava.config.text_config).eval()
    # A drafted placeholder would ask for an image that there is not, compressed or not.
    assistant.generation_config.suppress_tokens = [IMAGE_TOKEN]
    assistant.generation_config.pad_token_id = assistant.generation_config.eos_token_id = None
    inputs = prompts(PROMPTS["one"])
    with compressing(llava, method(stage)):
        expected = llava.generate(**inputs, **OPTIONS)
        assert torch.equal(llava.generate(**inputs, **OPTIONS, assistant_model=assistant), expected)


@pytest.mark.parametrize("stage", STAGES)
def test_a_device_map(llava, stage, tmp_path):
    """Parts of the model that are dispatched by name, some of them kept off the device."""
    model = tiny_llava()
    names = ["vision_tower", "multi_modal_projector", "language_model.embed_tokens", "language_model.norm"]
    names += ["language_model.rotary_emb", *(f"language_model.layers.{number}" for number in (0, 1))]
    places = {f"model.{name}": "cpu" for name in names} | {"lm_head": "cpu"}
    away = [f"model.language_model.layers.{number}" for number in (2, 3)]
    dispatch_model(model, places | dict.fromkeys(away, "disk"), main_device="cpu", offload_dir=tmp_path)
    inputs = prompts(PROMPTS["ragged"])
    with compressing(llava, method(stage)), compressing(model, method(stage)):
        assert torch.equal(model.generate(**inputs, **OPTIONS), llava.generate(**inputs, **OPTIONS))


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
    first, second = dropped(model.config, ids, images)
    with masked(model.model.language_model, real, first, second, 99):
        expected = model(**inputs).logits
    stays = real & ~first
    torch.testing.assert_close(out[stays], expected[stays], atol=1e-4, rtol=0)
