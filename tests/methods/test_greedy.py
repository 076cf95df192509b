from __future__ import annotations

import oracles
import pytest
import torch

from apet import ApETError
from apet.methods import ApET, Greedy


@pytest.mark.parametrize("keep", [1, 5, 12])
def test_it_picks_what_the_oracle_picks(tokens, keep):
    decision = Greedy(keep).select(tokens, keep)
    for image in range(3):
        picked, left = oracles.greedy(tokens[image].double().numpy(), keep)
        assert decision.basis[image].tolist() == picked
        assert decision.indices[image].tolist() == sorted(picked)
        torch.testing.assert_close(
            decision.errors[image].double(), torch.from_numpy(left), rtol=1e-4, atol=1e-5
        )


def test_near_the_span_nothing_is_lost(tokens):
    """The second half differ from the first by a 5,000th: as a difference of squares that would be noise."""
    near = tokens[:1, :10] + 2e-4 * torch.randn(1, 10, 16, generator=torch.Generator().manual_seed(1))
    x = torch.cat((tokens[:1, :10], near), dim=1)
    decision = Greedy(14).select(x, 14)
    picked, left = oracles.greedy(x[0].double().numpy(), 14)
    assert decision.basis[0].tolist() == picked
    torch.testing.assert_close(decision.errors[0].double(), torch.from_numpy(left), rtol=2e-2, atol=1e-6)


def test_copies_are_worth_nothing_until_nothing_else_is_left(tokens):
    distinct = tokens[:, :6]
    x = torch.cat((5 * distinct[:, :1].expand(-1, 10, -1), distinct), dim=1)
    picked = Greedy(6).select(x, 6).basis
    assert ((picked < 10).sum(1) == 1).all(), "one copy of the outlier only"
    rest = Greedy(9).select(x, 9)
    # Token 10 is a copy too, smaller: the span is complete with 6, and the rest comes in raster order.
    assert (rest.basis[:, 6:] == torch.tensor([1, 2, 3])).all()
    assert not rest.errors.any()


@pytest.mark.parametrize("scale", [1e-25, 1.0, 1e25])
def test_errors_are_in_the_unit_of_the_tokens(tokens, scale):
    plain, scaled = Greedy(9).select(tokens, 9), Greedy(9).select(tokens * scale, 9)
    assert torch.equal(plain.indices, scaled.indices)
    torch.testing.assert_close(scaled.errors / scale, plain.errors, rtol=1e-4, atol=1e-5)


def test_zeros_are_picked_last(tokens):
    tokens[:, ::2] = 0
    assert (Greedy(9).select(tokens, 9).indices % 2 == 1).all()
    assert Greedy(30).select(tokens, 30).indices.shape == (3, 30)


def test_it_merges_unless_told_not_to():
    assert Greedy(9).merge
    assert not Greedy(9, merge=False).merge


@pytest.mark.parametrize("keep", [4, 10, 17, 30])
def test_one_round_is_apet(tokens, keep):
    once, apet = Greedy(keep, rounds=1).select(tokens, keep), ApET(keep).select(tokens, keep)
    assert torch.equal(once.indices, apet.indices)
    assert torch.equal(once.assignment, apet.assignment)
    assert torch.equal(once.errors, apet.errors)


@pytest.mark.parametrize("rounds", [2, 3, 7, 100])
def test_each_round_picks_what_the_rounds_before_leave(rounds):
    keep, tokens = 23, torch.randn(3, 40, 64, generator=torch.Generator().manual_seed(4))
    decision = Greedy(keep, rounds=rounds).select(tokens, keep)
    for image in range(3):
        x = tokens[image].double()
        picked = ApET(keep).select(tokens, keep).basis[image].tolist()
        for done in range(min(rounds, keep - len(picked))):
            span = torch.linalg.qr(x[picked].mT)[0]
            left = (x - x @ span @ span.mT).norm(dim=1)
            left[picked] = -1
            count = -(-(keep - len(picked)) // (rounds - done))
            picked += sorted(left.argsort(descending=True)[:count].tolist())
        assert decision.basis[image].tolist() == picked
        assert decision.indices[image].tolist() == sorted(picked)


def test_more_rounds_keep_fewer_copies():
    """Thirty things, each seen five times: one score for all keeps several of the largest."""
    generator = torch.Generator().manual_seed(5)
    things = torch.nn.functional.normalize(torch.randn(30, 64, generator=generator), dim=1)
    sizes = torch.linspace(10, 7, 30)[:, None]
    x = (things * sizes).repeat_interleave(5, dim=0)
    x = (x + 0.01 * torch.randn(150, 64, generator=generator))[None]
    seen = {
        rounds: len(set((Greedy(30, rounds=rounds).select(x, 30).indices[0] // 5).tolist()))
        for rounds in (1, 4, None)
    }
    assert seen[1] < seen[4] < seen[None] == 30


@pytest.mark.parametrize("rounds", [0, -1, 1.5, True, "two"])
def test_rounds_that_are_none_are_refused(rounds):
    with pytest.raises(ApETError, match="rounds="):
        Greedy(9, rounds=rounds)
