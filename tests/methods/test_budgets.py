"""Budgets that need approximation errors, and the hook by which a method offers them."""

from __future__ import annotations

import dataclasses
import pickle
from dataclasses import dataclass

import pytest
import torch

from apet.core import ApETError, Options, Segment, Selection, compress, select
from apet.core.allocate import allocate
from apet.methods import METHODS, ApET, Method, Random, Stage2


@dataclass(frozen=True)
class OptsIn(Method):
    """Says in one line that its errors are errors; everything else is the base class's."""

    measures = True

    def select(self, tokens: torch.Tensor, keep: int) -> Selection:
        return select(tokens, keep, Options(basis_size=3))


def counts(method, tokens):
    about = [Segment("image", number, 0, tokens.shape[1]) for number in range(len(tokens))]
    budget = method.allowance
    even = [] if budget.keep is None else [budget.count(segment) for segment in about]
    return allocate(budget, list(tokens), about, lambda _, x, limit: method.measure(x, limit), even).counts


def test_fields_and_their_defaults():
    plain, bound = ApET(9), ApET(tolerance=0.05, min_keep=16, max_keep=0.5)
    assert (plain.keep, plain.tolerance, plain.min_keep, plain.max_keep) == (9, None, None, None)
    assert (bound.keep, bound.tolerance, bound.min_keep, bound.max_keep) == (None, 0.05, 16, 0.5)
    assert (plain.budget, bound.budget) == ("each", "each")
    assert bound == ApET(tolerance=0.05, min_keep=16, max_keep=0.5) != ApET(tolerance=0.06)
    assert len({bound, ApET(tolerance=0.05, min_keep=16, max_keep=0.5)}) == 1
    assert pickle.loads(pickle.dumps(bound)) == bound
    assert dataclasses.replace(bound, tolerance=0.1).tolerance == 0.1


def test_methods_with_one_callable_are_equal():
    def half(segment):
        return 0.5

    assert ApET(half) == ApET(half)
    assert hash(ApET(half)) == hash(ApET(half))
    assert ApET(half) != ApET(lambda segment: 0.5)
    assert Random(half).keep is half


def test_measuring_is_half_of_selecting(tokens):
    method = ApET(9, basis_size=4, start=7, ridge=1e-3)
    measured, decision = method.measure(tokens, 12), method.select(tokens, 12)
    assert torch.equal(measured.errors.float(), decision.errors)
    assert torch.equal(measured.basis, decision.basis)
    torch.testing.assert_close(measured.norms.float(), tokens.norm(dim=2))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_one_line_opts_in(tokens, dtype):
    tokens = tokens.to(dtype)
    expected = [compress(x, tolerance=0.2, basis_size=3).num_kept for x in tokens]
    assert counts(OptsIn(tolerance=0.2), tokens) == expected
    assert counts(ApET(tolerance=0.2, basis_size=3), tokens) == expected
    assert sum(counts(OptsIn(8, budget="shared"), tokens)) == 24


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if not method.measures])
def test_methods_without_errors_refuse(name):
    method = METHODS[name]
    for options, asked in (({"tolerance": 0.1}, "tolerance=0.1"), ({"budget": "shared"}, "budget='shared'")):
        keep = None if "tolerance" in options else 9
        with pytest.raises(ApETError, match=f"{method.__name__}: got {asked}; .*no approximation errors"):
            method(keep, **options)


@pytest.mark.parametrize(
    ("keep", "options", "message"),
    [
        (None, {}, "neither keep nor tolerance"),
        (9, {"tolerance": 0.1}, "keep=9 and tolerance=0.1"),
        (None, {"tolerance": 2}, "tolerance=2.0"),
        (9, {"min_keep": 3}, "min_keep=3 with keep"),
        (9, {"budget": "all"}, "budget='all'"),
        (9, {"budget": "shared", "min_keep": 10}, "min_keep=10"),
        (None, {"tolerance": 0.1, "start": 3, "stage2": Stage2(2, 4)}, "start=3 with stage2"),
        (None, {"tolerance": 0.1, "start": 3, "min_keep": 3, "stage2": Stage2(2, 4)}, "start=3 with stage2"),
        (9, {"budget": "shared", "start": 3, "stage2": Stage2(2, 4)}, "start=3 with stage2"),
    ],
)
def test_errors_name_the_method(keep, options, message):
    with pytest.raises(ApETError, match=f"^ApET: got {message}"):
        ApET(keep, **options)


def test_a_start_goes_with_stage_2_where_enough_is_left():
    assert ApET(tolerance=0.1, start=3, min_keep=4, stage2=Stage2(2, 9)).start == 3
    assert ApET(9, budget="shared", stage2=Stage2(2, 12)).stage2 == Stage2(2, 12)
