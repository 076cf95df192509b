"""Decisions of other packages' methods: a wrong one is an error that names the method."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch

from apet.core import ApETError, Selection
from apet.methods import ApET, Method, Norm, Picked, Picker

TOKENS = torch.randn(2, 12, 8, generator=torch.Generator().manual_seed(0))
NOW = {}
"""What the methods below do."""


@dataclass(frozen=True)
class Foreign(Method):
    """Decides as `ApET`, and then differs in one field."""

    def select(self, tokens: torch.Tensor, keep: int) -> Selection:
        return NOW["change"](ApET(keep).select(tokens, keep))


@dataclass(frozen=True)
class Picks(Picker):
    def pick(self, tokens, kept):
        return NOW["pick"](tokens, kept)


def to(**fields):
    """A decision with some fields changed."""
    return lambda found: replace(
        found, **{name: change(getattr(found, name)) for name, change in fields.items()}
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found: None, "a decision of type NoneType"),
        (to(indices=lambda x: x[:, 1:]), "indices of shape (2, 3), torch.int64; expected a tensor (2, 4)"),
        (to(indices=lambda x: x.int()), "torch.int32; expected a tensor (2, 4), torch.int64"),
        (to(indices=lambda x: x.flip(1)), "indices out of order or range"),
        (to(indices=lambda x: x * 0), "indices out of order or range"),
        (to(indices=lambda x: x + 12), "indices out of order or range"),
        (to(indices=lambda x: x.tolist()), "indices of type list"),
        (to(assignment=lambda x: x + 4), "an assignment out of range"),
        (to(assignment=lambda x: (x + 1) % 4), "an assignment of kept tokens to others"),
        (to(errors=lambda x: x * torch.nan), "errors that are not finite"),
        (to(errors=lambda x: x.double()), "torch.float64; expected a tensor (2, 12), torch.float32"),
        (to(basis=lambda x: x + 12), "a basis out of range"),
        (to(mix=lambda x: torch.full((2, 4, 12), torch.nan)), "a mix that is not finite"),
        (to(mix=lambda x: torch.ones(2, 4, 11)), "mix of shape (2, 4, 11)"),
    ],
)
def test_a_wrong_decision(monkeypatch, change, message):
    monkeypatch.setitem(NOW, "change", change)
    with pytest.raises(ApETError) as caught:
        Foreign(4).select(TOKENS, 4)
    assert str(caught.value).startswith("Foreign: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("pick", "message"),
    [
        (lambda tokens, kept: torch.zeros(2, kept), "a choice of type Tensor"),
        (lambda tokens, kept: Picked(torch.zeros(2, kept, dtype=torch.int64)), "indices out of order"),
        (lambda tokens, kept: Picked(torch.arange(kept - 1).expand(2, -1)), "indices of shape (2, 3)"),
    ],
)
def test_a_wrong_choice(monkeypatch, pick, message):
    monkeypatch.setitem(NOW, "pick", pick)
    with pytest.raises(ApETError, match=r"^Picks: ") as caught:
        Picks(4).select(TOKENS, 4)
    assert message in str(caught.value)


def test_tokens_are_a_copy_and_a_right_decision_passes(monkeypatch):
    before = TOKENS.clone()

    def careless(tokens, kept):
        picked = Picked(torch.arange(kept).expand(2, -1), scores=tokens.norms.clone())
        tokens.data.zero_()
        return picked

    monkeypatch.setitem(NOW, "pick", careless)
    assert Picks(4).select(TOKENS, 4).indices.tolist() == [[0, 1, 2, 3]] * 2
    assert torch.equal(TOKENS, before)
    monkeypatch.setitem(NOW, "change", lambda found: found)
    assert torch.equal(Foreign(4).select(TOKENS, 4).indices, ApET(4).select(TOKENS, 4).indices)


def test_this_librarys_own_are_tested_and_not_checked():
    assert Foreign.foreign()
    assert not ApET.foreign()
    assert not Norm.foreign()
    assert not hasattr(ApET.select, "checks")


@pytest.mark.parametrize("needs", [["places"], {"places"}, frozenset({"plces"})])
def test_what_a_class_needs_is_a_frozenset_of_known_names(needs):
    with pytest.raises(ApETError, match="needs="):
        type("Odd", (Picks,), {"needs": needs})
