"""FlashAttention's path, emulated with transformers' own test for packed sequences; flex attention."""

from __future__ import annotations

import pytest
import torch
import transformers.integrations.flex_attention as integration
from torch.nn.attention import flex_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import flash_attention_mask

from apet.hf import compressing
from tests.hf.cases import PROMPTS, STAGES, method
from tests.hf.test_oracle import TOLERANCE
from tests.hf.test_turns import made, take_turns, worst
from tests.hf.tiny import IMAGE_TOKEN, prompts, tiny_llava

OPTIONS = {"max_new_tokens": 4, "do_sample": False, "suppress_tokens": [IMAGE_TOKEN]}
PACKED = []


def flash_like(module, query, key, value, attention_mask, scaling=None, dropout=0.0, **kwargs):
    """Attention over 2D masks, as FlashAttention takes them, that notes when a batch looks packed."""
    batch, heads, queries, _ = query.shape
    positions = kwargs.get("position_ids")
    if attention_mask is None and batch == 1 and positions is not None and positions.shape[-1] > 1:
        counted = torch.arange(positions.shape[1]) + positions.min()
        PACKED.append(bool((counted - positions).abs().sum()))
    if attention_mask is not None:
        assert attention_mask.dim() == 2
        filled = attention_mask.shape[1]  # a static cache is longer than what it holds
        key, value = key[:, :, :filled], value[:, :, :filled]
    keys = key.shape[2]
    key = key.repeat_interleave(heads // key.shape[1], 1)
    value = value.repeat_interleave(heads // value.shape[1], 1)
    allowed = (torch.arange(keys)[None] <= torch.arange(keys - queries, keys)[:, None])[None, None]
    if attention_mask is not None:
        allowed = allowed & attention_mask.bool()[:, None, None, :]
    allowed = allowed | ~allowed.any(-1, keepdim=True)
    out = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=allowed, scale=scaling
    )
    return out.transpose(1, 2).contiguous(), None


def flash_mode(model):
    """Let a model's text part use the emulation."""
    AttentionInterface.register("flash_like", flash_like)
    AttentionMaskInterface.register("flash_like", flash_attention_mask)
    model.model.language_model.config._attn_implementation = "flash_like"


@pytest.fixture(scope="module")
def flash():
    model = tiny_llava()
    flash_mode(model)
    return model


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("rows", ["one", "ragged batch"])
def test_a_second_turn_with_images(llava, flash, rows, stage):
    turns = made(rows)
    PACKED.clear()
    with compressing(llava, method(stage)), compressing(flash, method(stage)):
        expected, _, _, _ = take_turns(llava, turns)
        got, _, _, _ = take_turns(flash, turns)
    assert worst(got, expected) < TOLERANCE
    assert not any(PACKED)


@pytest.mark.parametrize("positions", ["own", "contiguous"])
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("rows", PROMPTS)
def test_flash_attention_sees_no_packed_sequence(llava, flash, rows, stage, positions):
    inputs = prompts(PROMPTS[rows])
    chosen = method(stage, positions=positions)
    PACKED.clear()
    with compressing(llava, chosen), compressing(flash, chosen):
        assert torch.equal(flash.generate(**inputs, **OPTIONS), llava.generate(**inputs, **OPTIONS))
        assert torch.equal(
            flash.generate(**inputs, use_cache=False, **OPTIONS),
            llava.generate(**inputs, use_cache=False, **OPTIONS),
        )
    assert not any(PACKED)
    assert PACKED or len(inputs["input_ids"]) > 1


def test_the_emulation_would_notice(flash):
    """Gapped positions do look packed."""
    inputs = prompts(PROMPTS["one"])
    positions = torch.arange(inputs["input_ids"].shape[1])[None] * 2
    inputs.pop("attention_mask")
    PACKED.clear()
    flash(**inputs, position_ids=positions)
    assert any(PACKED)


def test_gapped_positions_without_a_cache_or_mask(llava):
    """The mask code, too, takes gaps for packing where there is no cache and no mask."""
    inputs = prompts(PROMPTS["one"])
    inputs.pop("attention_mask")
    with compressing(llava, method("stage 1")):
        cached = llava(**inputs).logits
        torch.testing.assert_close(llava(**inputs, use_cache=False).logits, cached)


@pytest.mark.parametrize("stage", STAGES)
def test_flex_attention(llava, monkeypatch, stage):
    """With torch's attention uncompiled: transformers compiles it, which takes long on a CPU."""

    def uncompiled(query, key, value, training=False, **kwargs):
        return flex_attention.flex_attention(query, key, value, **kwargs)

    monkeypatch.setattr(integration, "compile_friendly_flex_attention", uncompiled)
    model = tiny_llava()
    model.model.language_model.config._attn_implementation = "flex_attention"
    inputs = prompts(PROMPTS["ragged"])
    steps = {**OPTIONS, "max_new_tokens": 2}
    with compressing(llava, method(stage)), compressing(model, method(stage)):
        assert torch.equal(model.generate(**inputs, **steps), llava.generate(**inputs, **steps))
