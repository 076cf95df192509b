"""Fields of methods: Python's own numbers, whatever they were given as."""

from __future__ import annotations

import numpy as np
import pytest

import apet
from apet import methods
from apet.core.errors import ApETError


@pytest.mark.parametrize(
    ("build", "plain"),
    [
        (
            lambda n: apet.ApET(64, start=n(3), basis_size=n(5), seed=n(3)),
            apet.ApET(64, start=3, basis_size=5, seed=3),
        ),
        (lambda n: apet.ApET.paper(n(64), n(32), n(120)), apet.ApET.paper(64, 32, 120)),
        (lambda n: apet.ApET.authors("llava-1.5", n(120)), apet.ApET.authors("llava-1.5", 120)),
        (lambda n: methods.HiPrune(9, layer=n(3)), methods.HiPrune(9, layer=3)),
        (lambda n: methods.PruMerge(9, neighbours=n(3)), methods.PruMerge(9, neighbours=3)),
        (lambda n: methods.SPARE(9, strength=n(2)), methods.SPARE(9, strength=2.0)),
        (lambda n: methods.DART(9, layer=n(3), pivots=n(2)), methods.DART(9, layer=3, pivots=2)),
        (lambda n: apet.Spread(9, rounds=n(3), reach=n(1)), apet.Spread(9, rounds=3, reach=1.0)),
        (lambda n: apet.Random(9, seed=n(3)), apet.Random(9, seed=3)),
    ],
)
@pytest.mark.parametrize("number", [np.int64, np.uint8])
def test_numbers_of_numpy_are_pythons(build, plain, number):
    """The same method with the same repr, by which caches tell methods apart; nothing overflows."""
    made = build(number)
    assert made == plain
    assert repr(made) == repr(plain)


def test_a_number_beyond_floats_is_an_error_of_this_library():
    with pytest.raises(ApETError, match="a finite number of at least 0"):
        methods.SPARE(9, strength=10**400)
