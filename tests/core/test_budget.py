from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from apet.core import ApETError, check_keep, resolve_keep


@pytest.mark.parametrize(
    ("keep", "n", "kept"),
    [
        (1, 1, 1), (1, 576, 1), (576, 576, 576), (1.0, 576, 576), (0.5, 5, 3), (0.5, 7, 4), (0.25, 10, 3),
        (0.1111, 576, 64), (1 / 9, 576, 64), (0.11, 576, 63), (0.2, 1296, 259), (0.001, 10, 1),
        (0.145, 100, 15), (0.285, 100, 29), (5e-324, 9, 1), (0.05, 10, 1), (0.15, 10, 2),
        (np.float32(0.5), 7, 4), (np.int64(3), 7, 3), (np.float64(0.145), 100, 15),
    ],
)  # fmt: skip
def test_resolve(keep, n, kept):
    resolved = resolve_keep(keep, n)
    assert resolved == kept
    assert type(resolved) is int


@given(st.floats(1e-6, 1.0), st.integers(1, 5000))
def test_rounds_to_nearest_halves_up_at_least_one(keep, n):
    exact = Fraction(Decimal(repr(keep))) * n
    kept = resolve_keep(keep, n)
    assert 1 <= kept <= n
    assert kept - exact <= Fraction(1, 2) or kept == 1
    assert exact - kept < Fraction(1, 2)


@pytest.mark.parametrize(
    ("keep", "got"),
    [
        (0, "keep=0"), (-3, "keep=-3"), (11, "keep=11 for 10 tokens"), (0.0, "keep=0.0"), (-0.1, "keep=-0.1"),
        (1.0001, "keep=1.0001"), (float("nan"), "keep=nan"), (float("inf"), "keep=inf"),
        (True, "keep=True of type bool"),
        (False, "keep=False"), ("4", "keep='4' of type str"), (None, "keep=None"), (2j, "keep=2j"),
        (torch.tensor(4), "keep=tensor"), ([4], "of type list"), (np.bool_(True), "of type bool"),
    ],
)  # fmt: skip
def test_errors(keep, got):
    with pytest.raises(ApETError) as caught:
        resolve_keep(keep, 10, operation="plan")
    assert str(caught.value).startswith("plan: got ")
    assert got in str(caught.value)


def test_check_without_a_number_of_tokens():
    assert check_keep(10**9) == 10**9
    assert type(check_keep(np.int32(4))) is int
    assert type(check_keep(np.float32(0.5))) is float
