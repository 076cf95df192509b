"""`Spread` beside its rule, written down in float64."""

from __future__ import annotations

import oracles
import pytest
import torch

from apet import ApETError
from apet.core.blocks import read_tokens
from apet.core.merge import nearest_kept
from apet.methods import Context, Places, Spread


@pytest.mark.parametrize("keep", [1, 2, 9, 20])
@pytest.mark.parametrize("rounds", [None, 1, 3, 8])
def test_it_picks_what_the_oracle_picks(tokens, keep, rounds):
    decision = Spread(keep, rounds=rounds, place=0.0).select(tokens, keep)
    for image in range(3):
        picked, nearest = oracles.spread(tokens[image].double().numpy(), keep, rounds)
        assert decision.indices[image].tolist() == sorted(picked)
        torch.testing.assert_close(
            decision.errors[image].double(), 1 - torch.from_numpy(nearest), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize(
    ("extents", "video"), [(((5, 8),), False), (((4, 5), (4, 5)), True), (((4, 5), (4, 5)), False)]
)
def test_places_count_as_in_the_oracle(tokens, extents, video):
    """An image, a video of two frames, and two tiles, which are as far from each other as can be."""
    rows, columns = extents[0]
    raster = Places.raster(rows, columns, frames=len(extents), batch=3)
    places = Places(raster.index, extents, video)
    method = Spread(9, place=0.4, rounds=3)
    decision = method.select(tokens, 9, Context(places))
    at = places.index[0].double().numpy()
    length = len(extents) if video else 1e-6
    for image in range(3):
        x = tokens[image].double().numpy()
        picked, nearest = oracles.spread(x, 9, 3, at, 0.4, 0.125, (length, rows, columns))
        assert decision.indices[image].tolist() == sorted(picked)
        torch.testing.assert_close(
            decision.errors[image].double(), 1 - torch.from_numpy(nearest), rtol=1e-4, atol=1e-5
        )


def test_without_weight_places_change_nothing(tokens):
    places = Context(Places.raster(5, 8, batch=3))
    told, plain = Spread(9, place=0.0).select(tokens, 9, places), Spread(9, place=0.0).select(tokens, 9)
    assert Spread(9).needs == {"places"}
    assert not Spread(9, place=0.0).needs
    assert torch.equal(told.indices, plain.indices)
    assert torch.equal(told.assignment, plain.assignment)
    with pytest.raises(ApETError, match="no places for 40 tokens"):
        Spread(9).select(tokens, 9)


@pytest.mark.parametrize("rounds", [None, 3])
def test_dropped_tokens_go_where_apet_sends_them(tokens, rounds):
    decision = Spread(9, rounds=rounds, place=0.0).select(tokens, 9)
    assert torch.equal(
        decision.assignment,
        nearest_kept(read_tokens(tokens, check_finite=True, operation="test"), decision.indices),
    )


def test_equal_tokens_are_picked_in_order():
    decision = Spread(5, place=0.0).select(torch.ones(1, 12, 4), 5)
    assert decision.indices.tolist() == [[0, 1, 2, 3, 4]]
    assert not decision.errors.abs().gt(1e-6).any()


def test_scale_of_a_token_does_not_matter_but_for_the_first(tokens):
    x = tokens.clone()
    x[:, 7] *= 10
    sizes = torch.rand(3, 40, 1, generator=torch.Generator().manual_seed(1)) + 0.5
    sizes[:, 7] = 1
    assert torch.equal(
        Spread(9, place=0.0).select(x, 9).indices, Spread(9, place=0.0).select(x * sizes, 9).indices
    )


@pytest.mark.parametrize(
    ("method", "given", "expected"),
    [
        (Spread, {"rounds": 0}, "got rounds=0; expected None or an int of at least 1"),
        (Spread, {"rounds": True}, "got rounds=True"),
        (Spread, {"place": -0.1}, "got place=-0.1; expected a finite number of at least 0"),
        (Spread, {"place": float("nan")}, "got place=nan"),
        (Spread, {"reach": 0.0}, "got reach=0.0; expected more than 0"),
    ],
)
def test_wrong_fields(method, given, expected):
    with pytest.raises(ApETError, match=expected):
        method(9, **given)
