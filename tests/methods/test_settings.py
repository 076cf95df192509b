"""What a program sets for all of torch changes no method's decision, not even that of a careless one."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import pytest
import torch
from method_table import CONFIGURATIONS, decide
from tests.global_settings import SETTINGS, everything_set
from tests.selections import tensors_of

from apet.core import Selection
from apet.methods import Method


@dataclass(frozen=True)
class Careless(Method):
    """Names no device, multiplies with ``@`` and turns no gradients off."""

    measures = True

    def select(self, tokens: torch.Tensor, keep: int) -> Selection:
        likeness = (tokens @ tokens.mT).sum(-1)
        order = torch.arange(tokens.shape[1]).expand(len(tokens), -1)
        indices = likeness.sort(dim=1, descending=True, stable=True).indices[:, :keep].sort(dim=1).values
        assignment = torch.searchsorted(indices, order.contiguous()).clamp(max=keep - 1)
        return Selection(indices, assignment, likeness, indices[:, :0])


def every_decision(tokens):
    found = []
    for make in (*CONFIGURATIONS.values(), Careless):
        selection = decide(make(9), tokens, 9)
        found += [*tensors_of(selection).values(), selection.apply(tokens)]
        if make(9).measures:
            measured = make(9).measure(tokens, 20)
            found += [*measured.in_given_unit(), *tensors_of(make(9).choose(tokens, 9, measured)).values()]
    return found


@pytest.mark.parametrize("name", SETTINGS)
def test_same_bits(tokens, name):
    expected = every_decision(tokens)
    with SETTINGS[name]():
        before = everything_set()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = every_decision(tokens.requires_grad_() if torch.is_grad_enabled() else tokens)
        assert everything_set() == before
    tokens.requires_grad_(False)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype
        assert torch.equal(a, b)


def test_a_decision_takes_no_gradients(tokens):
    selection = Careless(9).select(tokens.requires_grad_(), 9)
    assert not selection.errors.requires_grad
    assert selection.apply(tokens).requires_grad


def test_threads_and_the_global_generator(tokens, build):
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    expected = decide(build(9), tokens, 9)
    assert torch.equal(torch.get_rng_state(), before)
    torch.set_num_threads(3)
    try:
        found = decide(build(9), tokens, 9)
    finally:
        torch.set_num_threads(threads)
    for name, value in tensors_of(expected).items():
        assert torch.equal(getattr(found, name), value), name
