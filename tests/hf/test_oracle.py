"""Compressed logits against the full-length run with dropped columns masked."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from apet.hf import compressing
from tests.hf.cases import PROMPTS, STAGES, method
from tests.hf.oracle import dropped, masked
from tests.hf.tiny import prompts

TOLERANCE = 1e-4
STEPS = 6


def kept_positions(real, first, positions):
    """Positions that the kept tokens should have had, written independently of the package."""
    own = (real.long().cumsum(1) - 1).clamp(min=0)
    if positions == "own":
        return own
    out = own.clone()
    for row in range(real.shape[0]):
        kept = (real[row] & ~first[row]).nonzero()[:, 0]
        out[row, kept] = torch.arange(len(kept))
    return out


def run_compressed(model, inputs, chosen):
    """Prefill and greedy decode by hand; returns outputs, the fed tokens and the session's images."""
    real = inputs["attention_mask"]
    own = (real.cumsum(1) - 1).clamp(min=0)
    with compressing(model, chosen) as session:
        prefill = model(**inputs, position_ids=own)
        images, cache = session.images, prefill.past_key_values
        logits, fed, mask, position = [prefill.logits[:, -1]], [], real, own[:, -1:]
        for _ in range(STEPS):
            fed.append(logits[-1].argmax(-1, keepdim=True))
            mask, position = torch.cat([mask, mask.new_ones(len(mask), 1)], 1), position + 1
            step = model(input_ids=fed[-1], attention_mask=mask, position_ids=position, past_key_values=cache)
            logits.append(step.logits[:, -1])
    return prefill, logits, fed, images


def run_oracle(model, inputs, chosen, first, second, fed, columns=None):
    real = inputs["attention_mask"].bool()
    positions = kept_positions(real, first, chosen.positions)
    layer = chosen.stage2.layer if chosen.stage2 else 99
    with masked(model.model.language_model, real, first, second, layer):
        prefill = model(**inputs, position_ids=positions)
        logits, position = [prefill.logits[:, -1]], positions[:, -1:]
        for token in fed:
            position = position + 1
            step = model(input_ids=token, position_ids=position, past_key_values=prefill.past_key_values)
            logits.append(step.logits[:, -1])
    return prefill, logits


def compare(model, rows, chosen):
    inputs = prompts(rows)
    compressed, logits, fed, images = run_compressed(model, inputs, chosen)
    first, second = dropped(model.config, inputs["input_ids"], images)
    assert first.any() or second.any()
    expected, expected_logits = run_oracle(model, inputs, chosen, first, second, fed)
    stays = inputs["attention_mask"].bool() & ~first & ~second
    assert compressed.logits.shape == expected.logits.shape
    errors = [(compressed.logits - expected.logits)[stays].abs().max()]
    errors += [(a - b).abs().max() for a, b in zip(logits, expected_logits, strict=True)]
    return torch.stack(errors), (inputs, images, first, second, fed, logits)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("rows", PROMPTS)
def test_logits_match_the_masked_run(models, rows, stage, attention):
    errors, _ = compare(models[attention], PROMPTS[rows], method(stage, merge=False))
    assert errors.max() < TOLERANCE


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("rows", ["one", "ragged", "text row"])
def test_contiguous_positions_match_the_masked_run(llava, rows, stage):
    chosen = method(stage, merge=False, positions="contiguous")
    errors, _ = compare(llava, PROMPTS[rows], chosen)
    assert errors.max() < TOLERANCE


@pytest.mark.parametrize("rows", ["one", "ragged"])
def test_behind_the_projector_matches_the_masked_run(llava, rows):
    errors, _ = compare(llava, PROMPTS[rows], method("both", merge=False, at="projector_output"))
    assert errors.max() < TOLERANCE


def test_late_stage_and_shares_match_the_masked_run(llava):
    errors, (_, images, *_) = compare(llava, PROMPTS["ragged"], method("both, late", merge=False))
    assert errors.max() < TOLERANCE
    assert {(image.tokens_stage1, image.tokens_stage2) for image in images} == {(18, 9)}


@pytest.mark.parametrize("stage", ["stage 1", "stage 2"])
def test_the_oracle_can_fail(llava, stage):
    """Dropping one other token moves the logits by far more than the tolerance."""
    chosen = method(stage, merge=False)
    _, (inputs, _, first, second, fed, logits) = compare(llava, PROMPTS["equal"], chosen)
    drop = first if stage == "stage 1" else second
    columns = drop[0].nonzero()[:, 0]
    kept = (inputs["input_ids"][0] == 60).nonzero()[:, 0]
    kept = kept[~torch.isin(kept, columns)]
    drop[0, columns[0]], drop[0, kept[0]] = False, True
    _, wrong = run_oracle(llava, inputs, chosen, first, second, fed)
    assert max((a - b).abs().max() for a, b in zip(logits, wrong, strict=True)) > 100 * TOLERANCE


def test_positions_matter(llava):
    """Own and contiguous positions are told apart by the oracle."""
    own = method("stage 1", merge=False)
    _, (inputs, _, first, second, fed, logits) = compare(llava, PROMPTS["one"], own)
    contiguous = dataclasses.replace(own, positions="contiguous")
    _, wrong = run_oracle(llava, inputs, contiguous, first, second, fed)
    assert max((a - b).abs().max() for a, b in zip(logits, wrong, strict=True)) > 100 * TOLERANCE


def test_right_padding(llava):
    """A plain forward pass on a right-padded batch equals the rows by themselves, in prefill and decode."""
    inputs = prompts(PROMPTS["ragged"], side="right")
    left = prompts(PROMPTS["ragged"])
    chosen = method("both", merge=False)
    real = inputs["attention_mask"].bool()
    with compressing(llava, chosen):
        right_out = llava(**inputs)
        left_out = llava(**left, position_ids=(left["attention_mask"].cumsum(1) - 1).clamp(min=0))
        token = torch.tensor([[5], [9]])
        mask = torch.cat([inputs["attention_mask"], torch.ones(2, 1, dtype=torch.long)], 1)
        position = inputs["attention_mask"].sum(1, keepdim=True)
        caches = right_out.past_key_values, left_out.past_key_values
        right_step = llava(
            input_ids=token, attention_mask=mask, position_ids=position, past_key_values=caches[0]
        )
        mask = torch.cat([left["attention_mask"], torch.ones(2, 1, dtype=torch.long)], 1)
        left_step = llava(
            input_ids=token, attention_mask=mask, position_ids=position, past_key_values=caches[1]
        )
    moved = left_out.logits[left["attention_mask"].bool()]
    torch.testing.assert_close(right_out.logits[real], moved, atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(right_step.logits, left_step.logits, atol=TOLERANCE, rtol=0)
