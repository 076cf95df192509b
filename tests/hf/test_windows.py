"""Masks that a base model builds (Gemma 3): windows shorter than the prompt, and FlashAttention."""

from __future__ import annotations

import pytest
import torch
from transformers import DynamicCache, StaticCache

from apet.core.errors import ApETError
from apet.hf import compressing
from tests.hf.families import RECIPES
from tests.hf.families.recipe import batch, single
from tests.hf.oracle import dropped, masked
from tests.hf.test_attention import flash_mode
from tests.hf.test_families import TOLERANCE, chosen, spied_units
from tests.hf.test_family_turns import take_turns

RECIPE = RECIPES["gemma3"]
ROWS = [["i", 5], [3, "i", 9]]
"""24 tokens, of which 19 are left."""
OPTIONS = {"max_new_tokens": 6, "do_sample": False}


@pytest.fixture(scope="module")
def gemma():
    return RECIPE.build("sdpa")


@pytest.fixture(params=[8, 21, 26])
def windowed(gemma, request):
    """Windows shorter than what is left, between that and the prompt, and longer than the prompt."""
    text = gemma.config.text_config
    before, text.sliding_window = text.sliding_window, request.param
    layers = [layer.self_attn for layer in gemma.model.language_model.layers if layer.self_attn.is_sliding]
    for layer in layers:
        layer.sliding_window = request.param
    yield gemma
    for layer in layers:
        layer.sliding_window = before
    text.sliding_window = before


def test_static_equals_dynamic(windowed):
    inputs = batch(RECIPE, ROWS)
    with compressing(windowed, chosen(RECIPE, "stage 1")):
        dynamic = windowed.generate(**inputs, **OPTIONS)
        static = windowed.generate(**inputs, **OPTIONS, cache_implementation="static", disable_compile=True)
    assert torch.equal(dynamic, static)


def test_prefill_matches_the_masked_run(windowed):
    """In prefill the windows count the tokens of the uncompressed prompt."""
    inputs = batch(RECIPE, ROWS)
    with (
        spied_units(windowed) as units,
        compressing(windowed, chosen(RECIPE, "stage 1", merge=False)) as session,
    ):
        out = windowed(**inputs).logits
        first, second = dropped(windowed.config, inputs["input_ids"], session.images, units)
    real = inputs["attention_mask"].bool()
    with masked(windowed.model.language_model, real, first, second, 99):
        expected = windowed(**inputs).logits
    stays = real & ~first
    assert (out - expected)[stays].abs().max() < TOLERANCE


def test_a_second_turn_is_the_same_on_both_caches(windowed):
    turns = [batch(RECIPE, ROWS), batch(RECIPE, [["i", 5], [7]], seed=2)]
    config = windowed.config.get_text_config()
    with compressing(windowed, chosen(RECIPE, "stage 1")):
        dynamic, fed = take_turns(windowed, turns, None, DynamicCache(config=config))
        static, _ = take_turns(windowed, turns, fed, StaticCache(config=config, max_cache_len=64))
    assert max((a - b).abs().max() for a, b in zip(dynamic, static, strict=True)) < TOLERANCE


@pytest.mark.parametrize("stage", ["stage 1", "stage 2", "both"])
def test_ragged_rows_under_flash_attention(stage):
    model = RECIPE.build("sdpa")
    flash_mode(model)
    rows = [["i", 5], [3, "i", "i", 9]]
    with compressing(model, chosen(RECIPE, stage)):
        together = model.generate(**batch(RECIPE, rows), **OPTIONS)
        for number in range(len(rows)):
            alone = model.generate(**single(RECIPE, rows, number), **OPTIONS)
            assert torch.equal(alone[0, -6:], together[number, -6:])


def test_block_masks_of_a_base_model_are_refused(gemma):
    calls = []
    hook = gemma.model.vision_tower.register_forward_hook(lambda *_: calls.append(1))
    text = gemma.config.text_config
    before, text._attn_implementation = text._attn_implementation, "flex_attention"
    try:
        with compressing(gemma, chosen(RECIPE, "stage 1")), pytest.raises(ApETError, match="flex_attention"):
            gemma(**batch(RECIPE, ROWS))
    finally:
        text._attn_implementation = before
        hook.remove()
    assert calls == []
