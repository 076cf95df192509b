"""Every family with positions counted anew, and with a budget per image or video: against the masked run.

The oracle of contiguous positions is the same full-length run, whose kept tokens are numbered by hand: from
where the row begins, one by one, on every axis alike. Nothing sees dropped tokens, so theirs do not matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from apet.hf import compressing
from apet.hf.families import FAMILIES
from tests.hf.families.recipe import batch
from tests.hf.oracle import dropped, masked
from tests.hf.test_families import MASKED, TOLERANCE, built, chosen, parted, run, spied_units


@contextmanager
def renumbered(text: Any, real: Tensor, stays: Tensor) -> Iterator[None]:
    """Give the plain text model contiguous positions: those of the prompt, then one by one for every step.

    Args:
        text: The text model.
        real: ``(B, L)`` bool, no padding.
        stays: ``(B, L)`` bool, what stage 1 keeps.
    """
    following = torch.empty(0)

    def number(module: Any, args: Any, kwargs: Any) -> Any:
        nonlocal following
        embeds, given = kwargs["inputs_embeds"], kwargs.get("position_ids")
        if embeds.shape[1] == real.shape[1]:
            if given is None:
                given = torch.arange(embeds.shape[1])[None]
            given = given[-3:] if given.dim() == 3 and len(given) == 4 and not four_axes(module) else given
            start = given.masked_fill(~real, 10**6).amin(-1, keepdim=True)
            positions = (start + stays.cumsum(1) - 1).clamp(min=0)
            following = start + stays.sum(1, keepdim=True)
        else:
            positions, following = following, following + 1
        return args, {**kwargs, "position_ids": positions}

    handle = text.register_forward_pre_hook(number, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def four_axes(text: Any) -> bool:
    """Whether rotary positions have four axes (HunYuan-VL); with three, a fourth row is for masks alone."""
    return len((text.config.rope_parameters or {}).get("mrope_section") or "thw") == 4


@pytest.mark.parametrize(("recipe", "prompt"), MASKED)
def test_contiguous_positions_match_the_renumbered_run(recipe, prompt):
    model = built(recipe.name)
    inputs = batch(recipe, recipe.prompts[prompt])
    method = chosen(recipe, "both", merge=False, positions="contiguous")
    with spied_units(model) as units, compressing(model, method) as session:
        compressed, logits, fed = run(model, inputs, None, steps=2)
        results = session.images
    first, second = dropped(model.config, inputs["input_ids"], results, units)
    real = inputs["attention_mask"].bool()
    text = FAMILIES[model.config.model_type].text_of(model.base_model)
    with masked(text, real, first, second, recipe.layer), renumbered(text, real, real & ~first):
        expected, expected_logits, _ = run(model, inputs, fed, steps=2)
    stays = real & ~first & ~second
    errors = [(compressed.logits - expected.logits)[stays].abs().max()]
    errors += [(a - b).abs().max() for a, b in zip(logits, expected_logits, strict=True)]
    assert torch.stack(errors).max() < TOLERANCE


@pytest.mark.parametrize(("recipe", "prompt"), [case for case in MASKED if parted(*case.values)])
def test_whole_images_and_videos_match_the_masked_run(recipe, prompt):
    model = built(recipe.name)
    inputs = batch(recipe, recipe.prompts[prompt])
    with (
        spied_units(model) as units,
        compressing(model, chosen(recipe, "both", merge=False, unit="whole")) as session,
    ):
        compressed, logits, fed = run(model, inputs, None, steps=1)
        results = session.images
    pieces = sum(isinstance(part, str) for row in recipe.prompts[prompt] for part in row)
    assert len(results) == pieces
    assert all(result.tokens_stage1 == recipe.keep for result in results)
    first, second = dropped(model.config, inputs["input_ids"], results, units)
    real = inputs["attention_mask"].bool()
    text = FAMILIES[model.config.model_type].text_of(model.base_model)
    with masked(text, real, first, second, recipe.layer):
        expected, expected_logits, _ = run(model, inputs, fed, steps=1)
    stays = real & ~first & ~second
    errors = [(compressed.logits - expected.logits)[stays].abs().max()]
    errors += [(a - b).abs().max() for a, b in zip(logits, expected_logits, strict=True)]
    assert torch.stack(errors).max() < TOLERANCE
