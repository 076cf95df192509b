"""Layers with linear attention or a convolution: the same logits as the layers by hand on the kept tokens.

Such a layer carries a state through the prompt that no mask reaches, so the masked run is no oracle here.
Each row is run without the others, without padding and without dropped tokens, on embeddings and positions
that the plain model made. Layers need no mask then.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache

from apet.core.errors import ApETError
from apet.hf import apply, compressing
from apet.methods import ApET, Stage2
from tests.hf.families import RECIPES
from tests.hf.families.recipe import batch
from tests.hf.oracle import dropped
from tests.hf.test_families import STEPS, TOLERANCE, built, chosen, parted, run, spied_units

LINEAR = [recipe for recipe in RECIPES.values() if recipe.short]
CASES = [
    pytest.param(recipe, prompt, id=f"{recipe.name}-{prompt}")
    for recipe in LINEAR
    for prompt in recipe.prompts
]


@contextmanager
def recorded(text: Any) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Embeddings and rotary positions of every call of a text model."""
    calls: list[tuple[Tensor, Tensor]] = []

    def note(module: Any, args: Any, kwargs: Any) -> None:
        embeds, positions = kwargs["inputs_embeds"], kwargs.get("position_ids")
        if positions is None:  # the model counts
            past = sum(before.shape[1] for before, _ in calls)
            positions = torch.arange(past, past + embeds.shape[1]).expand(len(embeds), -1)
        calls.append((embeds, positions[-3:] if positions.dim() == 3 else positions))

    handle = text.register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield calls
    finally:
        handle.remove()


def by_hand(
    model: Any,
    calls: list[tuple[Tensor, Tensor]],
    row: int,
    first: Tensor,
    second: Tensor,
    layer: int,
    begin: int | None = None,
) -> list[Tensor]:
    """Logits of one row: of the prompt's last kept tokens, then of every step.

    Args:
        model: The plain model.
        calls: What its text model got for the whole prompt and for every step.
        row: The row.
        first: ``(L,)`` bool, the tokens that stage 1 leaves.
        second: ``(L,)`` bool, those that both stages leave.
        layer: The layer of stage 2.
        begin: Where contiguous positions begin; None for the tokens' own.
    """
    text = model.base_model.language_model
    norm = getattr(text, "norm", None) or text.embedding_norm
    cache, logits = DynamicCache(config=text.config), []
    for step, (embeds, positions) in enumerate(calls):
        hidden, places = embeds[row : row + 1], positions[..., row : row + 1, :]
        if step == 0:
            hidden, places = hidden[:, first], places[..., first]
        if begin is not None:
            places = torch.arange(begin, begin + places.shape[-1]).expand_as(places)
            begin += places.shape[-1]
        for number, block in enumerate(text.layers):
            if step == 0 and number == layer:
                left = second[first]
                hidden, places = hidden[:, left], places[..., left]
            kind = text.config.layer_types[number]
            rotary = rotary_of(text, hidden, places, kind)
            hidden = block(hidden, position_embeddings=rotary, past_key_values=cache)
        logits.append(model.lm_head(norm(hidden))[0])
    return logits


def rotary_of(text: Any, hidden: Tensor, places: Tensor, kind: str) -> Any:
    """Rotary embeddings of a layer; None where a model has one kind per layer and this one has none."""
    kinds = getattr(text.rotary_emb, "layer_types", None)
    if kinds is None:
        return text.rotary_emb(hidden, places)
    return text.rotary_emb(hidden, places, layer_type=kind) if kind in kinds else None


CELLS: dict[str, dict[str, Any]] = {
    "stage 1": {},
    "stage 2": {},
    "both": {},
    "both, contiguous": {"positions": "contiguous"},
    "both, whole": {"unit": "whole"},
    "both, eager": {},
}


@pytest.mark.parametrize(
    ("recipe", "prompt", "cell"),
    [
        pytest.param(*case.values, cell, id=f"{case.id}-{cell}")
        for case in CASES
        for cell in CELLS
        if not ("whole" in cell and not parted(*case.values))
        if not ("eager" in cell and case.values[1] != "image")
    ],
)
def test_logits_match_the_short_run(recipe, prompt, cell):
    reference = built(recipe.name)  # its layers need no mask, as they would with eager attention
    model = recipe.build("eager") if "eager" in cell else reference
    inputs = batch(recipe, recipe.prompts[prompt])
    method = chosen(recipe, cell.split(",")[0], merge=False, **CELLS[cell])
    with spied_units(model) as units, compressing(model, method) as session:
        compressed, logits, fed = run(model, inputs, None)
        results = session.images
    with recorded(reference.base_model.language_model) as calls:
        plain, _, _ = run(reference, inputs, fed)
    assert len(calls) == 1 + STEPS
    gone, later = dropped(model.config, inputs["input_ids"], results, units)
    assert gone.any() or later.any()
    first = inputs["attention_mask"].bool() & ~gone
    second = first & ~later
    errors, moved = [], []
    for row in range(len(first)):
        real = inputs["attention_mask"][row].bool()
        begin = int(calls[0][1][..., row, real].min()) if "contiguous" in cell else None
        expected = by_hand(reference, calls, row, first[row], second[row], recipe.layer, begin)
        errors.append((compressed.logits[row, second[row]] - expected[0]).abs().max())
        errors += [(a[row] - b[-1]).abs().max() for a, b in zip(logits, expected, strict=True)]
        moved.append((plain.logits[row, second[row]] - expected[0]).abs().max())
    assert max(moved) > 10 * TOLERANCE, "the prompt hardly depends on what was dropped"
    assert max(errors) < TOLERANCE


@pytest.mark.parametrize("name", [recipe.name for recipe in LINEAR])
def test_stage_2_before_full_attention_is_refused(name):
    model = built(name)
    assert model.config.text_config.layer_types.index("full_attention") == 1
    with pytest.raises(ApETError, match="between 2 and 3"):
        apply(model, ApET(4, stage2=Stage2(1, 2)))


@pytest.mark.parametrize("name", [recipe.name for recipe in LINEAR])
def test_a_second_turn_of_several_tokens(name):
    """More than one token on a compressed cache, in rows of different lengths, as one token at a time."""
    recipe = RECIPES[name]
    model = built(name)
    inputs = batch(recipe, recipe.prompts["image"])
    words = torch.randint(3, 59, (2, 3), generator=torch.Generator().manual_seed(7))
    mask = inputs["attention_mask"]

    def turn(cache: Any, begin: int, end: int) -> Tensor:
        so_far = torch.cat([mask, mask.new_ones(2, end)], 1)
        extra, deltas = {}, getattr(model.base_model, "rope_deltas", None)
        if deltas is not None:
            extra["position_ids"] = (so_far.cumsum(1)[:, begin - end :] - 1 + deltas).expand(3, -1, -1)
        return model(
            input_ids=words[:, begin:end], attention_mask=so_far, past_key_values=cache, **extra
        ).logits

    with compressing(model, chosen(recipe, "both")):
        together = turn(model(**inputs).past_key_values, 0, 3)
        cache = model(**inputs).past_key_values
        for number in range(3):
            alone = turn(cache, number, number + 1)
            assert (alone[:, 0] - together[:, number]).abs().max() < TOLERANCE


@pytest.mark.parametrize("name", [recipe.name for recipe in LINEAR])
def test_further_images_in_several_rows_are_refused(name):
    """Padding between turns would run through the state; refused before anything is encoded."""
    recipe, model = RECIPES[name], built(name)
    inputs = batch(recipe, recipe.prompts["image"])
    calls = []
    with compressing(model, chosen(recipe, "stage 1")):
        cache = model(**inputs).past_key_values
        mask = torch.cat([inputs["attention_mask"]] * 2, 1)
        tower = getattr(model.base_model, "visual", None) or model.base_model.vision_tower
        hook = tower.register_forward_hook(lambda *_: calls.append(1))
        with pytest.raises(ApETError, match="one row at a time"):
            model(**{**inputs, "attention_mask": mask}, past_key_values=cache)
        with pytest.raises(ApETError, match="one row at a time"):
            model.generate(**inputs, prefill_chunk_size=8, max_new_tokens=2)
        hook.remove()
    assert calls == []
