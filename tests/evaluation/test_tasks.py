"""Questions of a split: enough of every task, the same ones again, and never two with one key."""

import pytest

from apet.core.errors import ApETError
from apet.evaluation import TASKS, default_tasks, draw_cases, resolve_tasks
from apet.scenes import SKILLS
from apet.scenes.sources import SOURCES


def test_every_task_gets_its_number():
    tasks = resolve_tasks(["all"])
    cases = draw_cases(tasks, 5)
    assert tasks == [name for name, task in TASKS.items() if task.available]
    assert {task: sum(case.task == task for case in cases) for task in tasks} == dict.fromkeys(tasks, 5)
    assert len({case.key for case in cases}) == len(cases)


def test_questions_about_one_picture_stand_together():
    groups = [case.group for case in draw_cases(resolve_tasks(["scenes"]), 20)]
    starts = [group for before, group in zip(["", *groups], groups, strict=False) if group != before]
    assert len(starts) == len(set(starts)) < len(groups)


def test_a_larger_limit_or_other_tasks_change_no_question():
    few = {case.key for case in draw_cases(["read"], 4)}
    assert few < {case.key for case in draw_cases(["read", "exist"], 9)}


def test_splits_are_held_out_from_each_other():
    keys = [{case.key for case in draw_cases(["exist"], 30, split)} for split in ("test", "validation")]
    assert not keys[0] & keys[1]


def test_the_embedded_model_is_asked_what_it_was_trained_for():
    assert default_tasks(embedded=True) == [*SKILLS, "small_objects", "small_text"]
    assert set(default_tasks(embedded=True)) < set(default_tasks(embedded=False)) <= set(TASKS)


def test_the_real_eye_is_asked_about_photographs_and_by_others():
    tasks = default_tasks(embedded=True, name="dinov2")
    assert tasks[:9] == default_tasks(embedded=True, name="some/folder")
    held = [SOURCES[name] for name in ("collages", "easy_vqa")]
    added = [name for source in held if source.available for name in source.tasks]
    assert tasks[9:] == added


def test_answers_are_compared_exactly_but_for_case_spaces_and_a_full_stop():
    case = draw_cases(["read"], 1)[0]
    (right,) = case.answers
    assert case.score([right]) == case.score([f" {right.lower()}. "]) == 1
    assert case.score([right + "S"]) == case.score([""]) == 0


def test_an_unknown_task_is_named():
    with pytest.raises(ApETError, match=r"'chess'.*small_text"):
        resolve_tasks(["exist", "chess"])
