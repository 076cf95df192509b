from __future__ import annotations

import pytest
import torch

from apet.methods import Random, picker


def test_every_token_is_kept_equally_often(tokens):
    counts = torch.zeros(40)
    for seed in range(800):
        counts[Random(10, seed=seed).select(tokens[:1], 10).indices[0]] += 1
    # 800 draws at 1 in 4: a mean of 200 and a standard deviation of about 12.
    assert counts.sum() == 8000
    assert 140 < counts.min() <= counts.max() < 260


def test_the_draw_depends_on_seed_and_length_alone(tokens):
    one = Random(9, seed=1).select(tokens, 9)
    assert torch.equal(one.indices, Random(9, seed=1).select(-3 * tokens.flip(1), 9).indices)
    assert (one.indices == one.indices[0]).all()
    assert not torch.equal(one.indices, Random(9, seed=2).select(tokens, 9).indices)


def test_it_prunes_unless_asked_to_merge():
    assert not Random(9).merge
    assert Random(9, merge=True).merge


def test_merging_goes_to_the_most_similar_kept_token(tokens):
    decision = Random(9, merge=True).select(tokens, 9)
    unit = torch.nn.functional.normalize(tokens.double(), dim=-1)
    for image in range(3):
        similar = (unit[image] @ unit[image, decision.indices[image]].T).argmax(1)
        assert torch.equal(similar, decision.assignment[image])
    assert not decision.errors.any()
    assert decision.basis.shape == (3, 0)


def test_pruning_looks_for_no_similar_token(tokens, monkeypatch):
    """The control must not pay for a search whose answer nobody reads."""

    def fail(*_):
        raise AssertionError("searched")

    monkeypatch.setattr(picker, "nearest_kept", fail)
    decision = Random(9).select(tokens, 9)
    for image in range(3):
        apart = (torch.arange(40)[:, None] - decision.indices[image]).abs()
        assert torch.equal(decision.assignment[image], apart.argmin(1)), "nearest in order, ties to the lower"
    with pytest.raises(AssertionError, match="searched"):
        Random(9, merge=True).select(tokens, 9)
