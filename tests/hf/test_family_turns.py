"""Families: a further turn with new images against the masked two-turn run; chunks against one piece."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from apet.hf import compressing
from apet.hf.families import FAMILIES
from tests.hf.families import RECIPES
from tests.hf.families.recipe import batch
from tests.hf.oracle import dropped, masked, placeholders_of
from tests.hf.test_families import TOLERANCE, built, chosen, spied_units
from tests.hf.tiny import ENCODES_FIRST

STEPS = 2
TYPES = ("token_type_ids", "mm_token_type_ids")
TURNS: dict[str, list[list[list[str | int]]]] = {
    "one": [[[2, "i", 5]], [[3, "i", 4]]],
    "text first": [[[5]], [["i", 4]]],
    "batch": [[["i", 5], [3, "i", 9]], [["i", 5], [7]]],
}
NAMES = ("llava", "qwen2_5_vl", "qwen3_vl", "gemma3", "gemma4", "internvl")


def own_positions(model: Any, turn: dict[str, Tensor]) -> Tensor:
    """Positions of one turn by itself, with three axes where the model has them: (axes, B, L)."""
    counted = (turn["attention_mask"].cumsum(1) - 1).clamp(min=0)[None]
    if not hasattr(model.base_model, "get_rope_index"):
        return counted
    if "image_grid_thw" not in turn:
        return counted.expand(3, -1, -1)
    given = {name: turn[name] for name in ("attention_mask", "image_grid_thw", "mm_token_type_ids")}
    return model.base_model.get_rope_index(turn["input_ids"], **given)[0]


def take_turns(
    model: Any, turns: list[dict[str, Tensor]], fed: list[list[Tensor]] | None, cache: Any = None
) -> tuple[list[Tensor], list[list[Tensor]]]:
    """Read every turn and decode a few tokens after it; with given tokens if there are any."""
    logits, used = [], []
    rows = len(turns[0]["input_ids"])
    whole = {name: torch.empty(rows, 0, dtype=torch.long) for name in ("attention_mask", *TYPES)}
    after = torch.zeros(1, rows, 1, dtype=torch.long)

    def forward(turn: dict[str, Tensor], positions: Tensor) -> None:
        nonlocal cache, after
        for name, so_far in whole.items():
            new = turn.get(name, torch.zeros_like(turn["input_ids"]))
            whole[name] = torch.cat([so_far, new], 1)
        positions = positions + after
        after = positions.amax((0, 2), keepdim=True) + 1
        types = {name: whole[name] for name in TYPES if name in turn}
        out = model(
            **{**turn, "attention_mask": whole["attention_mask"], **types},
            position_ids=positions[0] if len(positions) == 1 else positions,
            past_key_values=cache,
        )
        cache = out.past_key_values
        logits.append(out.logits[:, -1])

    for number, turn in enumerate(turns):
        forward(turn, own_positions(model, turn))
        used.append([])
        for step in range(STEPS):
            token = logits[-1][:, :59].argmax(-1, keepdim=True) if fed is None else fed[number][step]
            used[-1].append(token)
            forward(
                {"input_ids": token, "attention_mask": torch.ones_like(token)},
                torch.zeros(1, rows, 1, dtype=torch.long),
            )
    return logits, used


@pytest.mark.parametrize("stage", ["stage 1", "stage 2", "both"])
@pytest.mark.parametrize("rows", TURNS)
@pytest.mark.parametrize("name", NAMES)
def test_turns_match_the_masked_run(name, rows, stage):
    recipe, model = RECIPES[name], built(name)
    turns = [batch(recipe, turn, seed=seed) for seed, turn in enumerate(TURNS[rows], 1)]
    with spied_units(model) as units, compressing(model, chosen(recipe, stage, merge=False)) as session:
        results, drops = [], []

        def collect(module: Any, args: Any, output: Any) -> None:
            results.append((session.images, dict(units)))

        handle = model.register_forward_hook(collect)
        try:
            logits, fed = take_turns(model, turns, None)
        finally:
            handle.remove()
    for number, turn in enumerate(turns):
        images, rows_of = results[number * (1 + STEPS)]
        ids = turn["input_ids"]
        if not placeholders_of(model.config, ids, "image").any():
            images = ()
        pair = dropped(model.config, ids, images, rows_of)
        drops.append([torch.nn.functional.pad(one, (0, STEPS)) for one in pair])
    first, second = (torch.cat([pair[one] for pair in drops], 1) for one in (0, 1))
    assert (first | second)[:, -turns[-1]["input_ids"].shape[1] :].any()
    real = torch.cat(
        [torch.nn.functional.pad(turn["attention_mask"], (0, STEPS), value=1) for turn in turns], 1
    ).bool()
    text = FAMILIES[model.config.model_type].text_of(model.base_model)
    with masked(text, real, first, second, recipe.layer):
        expected, _ = take_turns(model, turns, fed)
    plain, _ = take_turns(model, turns, fed)
    assert (plain[-1] - expected[-1]).abs().max() > 10 * TOLERANCE
    assert max((a - b).abs().max() for a, b in zip(logits, expected, strict=True)) < TOLERANCE


@pytest.mark.skipif(not ENCODES_FIRST, reason="this transformers takes no encoded features")
@pytest.mark.parametrize("positions", ["own", "contiguous"])
@pytest.mark.parametrize("name", NAMES)
def test_chunks_equal_one_piece(name, positions):
    recipe, model = RECIPES[name], built(name)
    inputs = batch(recipe, recipe.prompts["images"])
    options = {
        "max_new_tokens": 4,
        "do_sample": False,
        "output_logits": True,
        "return_dict_in_generate": True,
    }
    with compressing(model, chosen(recipe, "both", positions=positions)):
        whole = model.generate(**inputs, **options)
        pieces = model.generate(**inputs, **options, prefill_chunk_size=9)
    torch.testing.assert_close(torch.stack(pieces.logits), torch.stack(whole.logits), atol=1e-4, rtol=0)
