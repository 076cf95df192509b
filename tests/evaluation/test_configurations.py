"""The list of what is compared."""

import pytest

import apet
from apet.core.errors import ApETError
from apet.evaluation import plan


def _plan(methods, keeps=(64,), stages=("off",), seeds=2, layers=8):
    return plan(methods, keeps, stages, seeds, layers)


def test_seeds_run_for_chance_alone_and_the_full_model_comes_first():
    found, refused = _plan(["apet", "random"])
    assert [(one.method, one.seed) for one in found] == [
        ("full", None),
        ("apet", None),
        ("random", 0),
        ("random", 1),
    ]
    assert [one.built for one in found] == [None, apet.ApET(64), apet.Random(64), apet.Random(64, seed=1)]
    assert refused == []


def test_the_papers_stages_keep_the_average():
    found, _ = _plan(["apet"], (64, 0.1), ("paper",))
    assert found[1].built == apet.ApET.paper(64, num_layers=8)
    assert found[2].built.keep == pytest.approx(0.15)
    assert found[2].built.stage2 == apet.Stage2(4, 0.05)


def test_fields_are_set():
    found, _ = _plan(["apet:merge=no:basis_size=5:basis=dpc", "random:seed=7"])
    assert found[1].built == apet.ApET(64, merge=False, basis_size=5, basis="dpc")
    assert [one.built for one in found[2:]] == [apet.Random(64, seed=7)]


def test_a_tolerance_stands_in_place_of_the_budgets():
    found, refused = _plan(["apet:tolerance=0.1"], (64, 32), ("off", "paper"))
    assert [(one.keep, one.stage2) for one in found[1:]] == [(None, "off")]
    assert found[1].built == apet.ApET(tolerance=0.1)
    assert refused == []


def test_what_a_method_refuses_is_said_and_the_rest_runs():
    found, refused = _plan(["apet"], (63, 64), ("paper",))
    assert [one.keep for one in found] == [None, 64]
    assert len(refused) == 1
    assert "at 63: expected an even number" in refused[0]


@pytest.mark.parametrize(
    ("methods", "words"),
    [
        (["apett"], "'apett'.*random"),
        (["apet:size=3"], "apet:size=3.*basis_size"),
        (["apet:merge"], "FIELD=VALUE"),
        (["apet:basis=best"], "best"),
    ],
)
def test_mistakes_are_errors(methods, words):
    with pytest.raises(ApETError, match=words):
        _plan(methods)


def test_seeds_are_at_least_one():
    with pytest.raises(ApETError, match="--seeds: got 0"):
        _plan(["apet"], seeds=0)
