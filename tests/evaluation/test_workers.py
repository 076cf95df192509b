"""Several processes give the answers that one gives, and a failure in one of them is told."""

from dataclasses import replace
from functools import partial

import pytest

from apet import methods
from apet.app.evaluate import load_subject
from apet.core.errors import ApETError
from apet.evaluation import Configuration, draw_cases
from apet.evaluation.asking import Piece, answer_pieces
from apet.evaluation.workers import answer_in_processes, check_workers


def _fail():
    raise ApETError("load", "nothing", "a model")


def _groups():
    cases = draw_cases(["exist"], 3)
    kept = {"full": None, "apet": methods.ApET(64)}
    configurations = {key: Configuration(key, 64, "off", None, method) for key, method in kept.items()}
    return [[Piece(key, one, [case]) for key, one in configurations.items()] for case in cases]


def test_two_processes_answer_as_one_does(subject):
    groups, again = _groups(), replace(subject, reload=partial(load_subject, None))
    lines = list(answer_in_processes(again, groups, 2))
    alone = [line for group in groups for line in answer_pieces(subject, group)]
    answers = [
        sorted((line["run"], sorted(line["answers"].items())) for line in part) for part in (lines, alone)
    ]
    assert answers[0] == answers[1]
    assert len(answers[0]) == 6


def test_a_process_that_fails_says_why(subject):
    with pytest.raises(ApETError, match="nothing"):
        list(answer_in_processes(replace(subject, reload=_fail), _groups(), 1))


@pytest.mark.parametrize("workers", [0, -1, True, 1.5])
def test_a_number_of_processes_that_is_none_is_refused(subject, workers):
    with pytest.raises(ApETError, match="--workers"):
        check_workers(workers, subject)


def test_several_processes_need_a_way_to_load_the_model(subject):
    check_workers(1, subject)
    with pytest.raises(ApETError, match="reload"):
        check_workers(2, subject)
