"""Rivals against their published rules, in float64 and plain loops."""

from __future__ import annotations

import oracles
import pytest
import torch

from apet.core import ApETError
from apet.methods import DART, Context, Decoder, DivPrune, ToMe, Unlike


@pytest.mark.parametrize("keep", [1, 2, 9, 33, 40])
def test_divprune(tokens, keep):
    decision = DivPrune(keep).select(tokens, keep)
    for image in range(3):
        assert decision.indices[image].tolist() == oracles.divprune(tokens[image].double().numpy(), keep)


def test_divprune_looks_at_directions_alone(tokens):
    sizes = torch.rand(3, 40, 1, generator=torch.Generator().manual_seed(5)) + 0.01
    before, after = DivPrune(9).select(tokens, 9), DivPrune(9).select(tokens * sizes, 9)
    assert torch.equal(before.indices, after.indices)


@pytest.mark.parametrize("keep", [1, 3, 4, 9, 40])
@pytest.mark.parametrize("pivots", [1, 4])
def test_unlike(tokens, keep, pivots):
    decision = Unlike(keep, pivots=pivots).select(tokens, keep)
    for image in range(3):
        x = tokens[image].double().numpy()
        indices, order = oracles.unlike(x, keep, pivots)
        assert decision.indices[image].tolist() == indices
        assert decision.basis[image].tolist() == order
        apart = [1 - max(oracles.cosine(row, x[pivot]) for pivot in order) for row in x]
        torch.testing.assert_close(decision.errors[image], torch.tensor(apart), check_dtype=False)


@pytest.mark.parametrize("keep", [1, 3, 4, 9, 12, 40])
@pytest.mark.parametrize("texts", [0, 2, 4, 11])
def test_dart(tokens, keep, texts):
    generator = torch.Generator().manual_seed(8)
    norms, text_norms = (torch.rand(3, n, generator=generator) for n in (40, texts))
    decoder = Decoder(
        torch.randn(3, 40, 32, generator=generator),
        norms,
        torch.randn(3, texts, 32, generator=generator),
        text_norms,
    )
    decision = DART(keep).select(tokens, keep, Context(decoder=decoder))
    for image in range(3):
        own = [getattr(decoder, name)[image].double().numpy() for name in vars(decoder)]
        indices, pivots = oracles.dart(*own, keep)
        assert decision.indices[image].tolist() == indices
        assert decision.basis[image].tolist() == pivots


@pytest.mark.parametrize("kind", [DART, Unlike])
@pytest.mark.parametrize("pivots", [0, 1.5, True])
def test_what_pivots_must_be(kind, pivots):
    expected = f"^{kind.__name__}: got pivots={pivots}; expected an int of at least 1"
    with pytest.raises(ApETError, match=expected):
        kind(9, pivots=pivots)


@pytest.mark.parametrize("keep", [1, 2, 7, 20, 39, 40])
def test_tome(tokens, keep):
    decision = ToMe(keep).select(tokens, keep)
    merged = decision.apply(tokens)
    for image in range(3):
        x = tokens[image].double().numpy()
        groups = oracles.tome(x, keep)
        assert decision.indices[image].tolist() == [group[0] for group in groups]
        for slot, group in enumerate(groups):
            assert (decision.assignment[image] == slot).nonzero()[:, 0].tolist() == sorted(group)
            mean = torch.from_numpy(x[group].mean(0)).float()
            torch.testing.assert_close(merged[image, slot], mean, rtol=1e-5, atol=1e-6)
