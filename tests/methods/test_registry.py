from __future__ import annotations

import pytest

from apet.core import ApETError
from apet.methods import METHODS, NoImage, Random, named


def test_every_method_is_made_by_its_name():
    for name, method in METHODS.items():
        made = named(name, 64)
        assert type(made) is method
        assert made.keep == (0 if method is NoImage else 64)


def test_options_are_passed_on():
    assert named("random", 0.5, seed=3) == Random(0.5, seed=3)


@pytest.mark.parametrize("options", [{"seed": 3}, {"nonsense": 1}])
def test_options_that_a_method_does_not_have(options):
    with pytest.raises(ApETError, match=r"^method: got 'grid' with .*; expected among .*merge, .*grid"):
        named("grid", 64, **options)


def test_an_unknown_name_lists_all():
    with pytest.raises(ApETError) as error:
        named("best", 64)
    assert all(name in str(error.value) for name in METHODS)
