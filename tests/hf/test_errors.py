"""What cannot be right is refused, with a message that says what would be."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM, MistralConfig

from apet.core.errors import ApETError
from apet.hf import apply, compressing, remove
from apet.methods import ApET, Stage2
from tests.hf.cases import PROMPTS, method
from tests.hf.test_undo import snapshot
from tests.hf.tiny import ENCODES_FIRST, prompts, tiny_llava


@pytest.fixture(scope="module")
def llama():
    config = LlamaConfig(
        vocab_size=16, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
    )
    return LlamaForCausalLM(config)


def test_an_unsupported_model_is_named(llama):
    before = snapshot(llama)
    with pytest.raises(ApETError, match=r"apply: got LlamaForCausalLM .*'llama'.*`apet models`") as error:
        apply(llama, ApET(keep=4))
    assert len(str(error.value)) < 200
    assert "\n" not in str(error.value)
    assert snapshot(llama) == before


@pytest.mark.parametrize("thing", [nn.Linear(2, 2), "llava-hf/llava-1.5-7b-hf", None])
def test_what_is_not_a_model_is_refused(thing):
    with pytest.raises(ApETError, match="supported model"):
        apply(thing, ApET(keep=4))
    assert not remove(thing)


def test_the_model_without_its_head_is_refused(llava):
    with pytest.raises(ApETError, match="LlavaModel"):
        apply(llava.model, ApET(keep=4))


@pytest.mark.parametrize("layer", [4, 16])
def test_a_layer_that_is_not_there(llava, layer):
    before = snapshot(llava)
    with pytest.raises(ApETError, match=f"layer {layer} of a model with 4 decoder layers.*between 1 and 3"):
        apply(llava, ApET(keep=12, stage2=Stage2(layer=layer, keep=4)))
    assert snapshot(llava) == before


def test_a_method_that_is_none(llava):
    with pytest.raises(ApETError, match="got an object of type int as method"):
        apply(llava, 64)


def test_features_that_are_not_finite(llava):
    inputs = prompts(PROMPTS["one"])
    inputs["pixel_values"][0, 0, 0, 0] = torch.inf
    with compressing(llava, method("both")), pytest.raises(ApETError, match="finite"):
        llava.generate(**inputs, max_new_tokens=2)


def encoder_calls(model):
    calls = []
    hook = model.model.vision_tower.register_forward_hook(lambda *_: calls.append(1))
    return calls, hook


def test_a_cache_of_another_compression(llava):
    """Refused before the new image is encoded."""
    inputs = prompts(PROMPTS["one"])
    with compressing(llava, method("both")):
        cache = llava(**inputs).past_key_values
    length = len(cache.layers[0].keys[0, 0])
    calls, hook = encoder_calls(llava)
    with compressing(llava, method("stage 1")):
        with pytest.raises(ApETError, match="under another compression"):
            llava.generate(**inputs, past_key_values=cache, max_new_tokens=2)
        with pytest.raises(ApETError, match="under another compression"):
            llava(**inputs, past_key_values=cache)
    hook.remove()
    assert calls == []
    assert len(cache.layers[0].keys[0, 0]) == length


@pytest.mark.skipif(not ENCODES_FIRST, reason="this transformers takes no encoded features")
def test_features_encoded_without_compression(llava):
    inputs = prompts(PROMPTS["one"])
    pixels = inputs.pop("pixel_values")
    features = llava.get_image_features(pixels, return_dict=True)
    with compressing(llava, method("both")), pytest.raises(ApETError, match="not encoded under this"):
        llava(**inputs, mm_encoder_outputs={"image": features})


def test_a_sliding_window_that_is_too_short():
    model = tiny_llava()
    inputs = prompts(PROMPTS["one"])
    model.config.text_config.sliding_window = 20
    with compressing(model, method("both")):
        with pytest.raises(ApETError, match="sliding window of 20"):
            model(**inputs)
        model.config.text_config.sliding_window = 512
        model(**inputs)
    assert MistralConfig().sliding_window is not None, "the attribute that is looked at"


def test_errors_leave_the_cache_alone(llava):
    inputs = prompts(PROMPTS["one"])
    inputs["pixel_values"] = torch.full_like(inputs["pixel_values"], torch.nan)
    cache = DynamicCache(config=llava.config.get_text_config())
    with compressing(llava, method("both")), pytest.raises(ApETError):
        llava(**inputs, past_key_values=cache)
    assert type(cache) is DynamicCache
    assert cache.get_seq_length() == 0
