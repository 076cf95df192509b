"""Counts against hand-made answers."""

import numpy as np
import pytest

import apet
from apet.evaluation import Configuration, draw_cases
from apet.evaluation.statistics import Tally, bootstrap, mean_tokens
from apet.evaluation.store import Records

CONFIGURATIONS = [
    Configuration("full", None, "off", None, None),
    Configuration("random", 64, "paper", 0, apet.Random(96, stage2=apet.Stage2(4, 32))),
    Configuration("random", 64, "paper", 1, apet.Random(96, seed=1, stage2=apet.Stage2(4, 32))),
]
KEYS = ["f", "r0", "r1"]


@pytest.fixture(scope="module")
def counted():
    cases = draw_cases(["exist", "read"], 4)
    lines = []
    for key, wrong in (("f", 0), ("r0", 2), ("r1", 6)):
        # The first cases are answered wrongly.
        answers = {case.key: ["?"] if n < wrong else list(case.answers) for n, case in enumerate(cases)}
        schedule = [[0, 576]] if key == "f" else [[0, 96], [4, 32]]
        line = {"kind": "answers", "run": key, "answers": answers, "bands": None, "pictures": 0}
        lines.append(line | {"schedules": {case.key: schedule for case in cases}})
        for n, case in enumerate(cases[:3]):
            seconds = {"select": n / 1000, "first": n, "total": 2 * n}
            lines.append({"kind": "time", "run": key, "case": case.key, "answer": "", **seconds})
    return cases, Records(lines)


def test_rows(counted):
    cases, records = counted
    rows = Tally(CONFIGURATIONS, KEYS, cases, records, 8).rows()
    assert [(row.task, row.seed) for row in rows[::3]] == [("all", None), ("all", 0), ("all", 1)]
    whole, one, other = rows[::3]
    assert (whole.accuracy, whole.retention, whole.changed, whole.kept_tokens) == (1, 100, 0, 576)
    assert (one.n, one.accuracy, one.retention, one.changed) == (8, 0.75, 75, 0.25)
    assert (one.kept_tokens, one.schedule) == (64, [(0, 96), (4, 32)])
    assert (one.select_ms, one.first_token_s, one.total_s) == (1, 1, 2)
    assert other.accuracy == 0.25
    assert one.interval[0] < 0.75 < one.interval[1] <= 1
    by_task = {row.task: row.accuracy for row in rows[3:6]}
    assert by_task["all"] == pytest.approx((by_task["exist"] + by_task["read"]) / 2)


def test_summaries_join_seeds(counted):
    cases, records = counted
    joined = [s for s in Tally(CONFIGURATIONS, KEYS, cases, records, 8).summaries() if s.row.task == "all"]
    assert [(s.row.method, s.seeds) for s in joined] == [("full", 1), ("random", 2)]
    assert (joined[1].row.accuracy, joined[1].spread) == (0.5, (0.25, 0.75))
    low, high = joined[1].retention_interval
    assert 0 <= low < 50 < high <= 100


def test_an_interval_covers_what_drawing_groups_gives():
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(200), 5)
    values = (rng.random(200) < 0.7).repeat(5).astype(float)  # all questions of a picture fare alike
    low, high = bootstrap(values, groups)
    error = 1.96 * np.sqrt(0.7 * 0.3 / 200)
    assert high - low == pytest.approx(2 * error, rel=0.15)
    assert low < values.mean() < high
    assert bootstrap(values, groups, values) == (1, 1)


def test_mean_tokens_is_over_layers():
    assert mean_tokens(((0, 96), (4, 32)), 8) == 64
    assert mean_tokens(((0, 576), (2, 64)), 8) == (2 * 576 + 6 * 64) / 8
