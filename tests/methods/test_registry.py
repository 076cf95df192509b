from __future__ import annotations

from pathlib import Path

import pytest

from apet.core import ApETError
from apet.methods import METHODS, Method, NoImage, Random, named, rows


def test_every_method_is_made_by_its_name():
    for name, method in METHODS.items():
        made = named(name, 64)
        assert type(made) is method
        assert made.keep == (0 if method is NoImage else 64)


def test_options_are_passed_on():
    assert named("random", 0.5, seed=3) == Random(0.5, seed=3)


@pytest.mark.parametrize("options", [{"seed": 3}, {"nonsense": 1}])
def test_options_that_a_method_does_not_have(options):
    with pytest.raises(ApETError, match=r"^method: got 'grid' with .*; expected one of .*merge, .*grid"):
        named("grid", 64, **options)


def test_an_unknown_name_lists_all():
    with pytest.raises(ApETError) as error:
        named("best", 64)
    assert all(name in str(error.value) for name in METHODS)


def test_the_table_of_methods_is_the_documentations():
    page = (Path(__file__).parents[2] / "docs/method.md").read_text()
    assert [row.name for row in rows()] == list(METHODS)
    for row in rows():
        told = ", ".join(row.needs) + ("" if row.blind else " (the prompt decides)")
        line = f"| `{row.name}` | {row.published or '-'} | {told or '-'} | {row.departs or '-'} |"
        assert line in page, line
        assert row.takes == METHODS[row.name].takes


def test_a_need_that_nobody_meets_is_refused():
    with pytest.raises(
        ApETError, match=r"Odd: got needs=frozenset.*weather.*; expected a frozenset out of places, prompt"
    ):
        type("Odd", (Method,), {"needs": frozenset({"weather"})})
