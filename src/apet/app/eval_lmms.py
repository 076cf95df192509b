"""``apet eval`` on tasks of lmms-eval: one run of it per configuration, and the same rows."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from apet.app.console import print_table
from apet.app.lmms.benchmarks import Measure
from apet.app.lmms.check import is_installed, look_up, parse_task
from apet.app.lmms.runs import LmmsRun, Score
from apet.core.errors import ApETError
from apet.core.words import one_of
from apet.evaluation.configurations import Configuration, Stages, plan
from apet.evaluation.statistics import ALL, Row
from apet.evaluation.tasks import TASKS
from apet.installing import install


def run_lmms(
    model: str | None,
    methods: list[str],
    keeps: list[int | float],
    stages: list[Stages],
    seeds: int,
    tasks: list[str],
    *,
    limit: int | None,
    folder: Path,
    trust_remote_code: bool,
    as_json: bool,
) -> None:
    """Runs lmms-eval on its tasks (``pope``, ``mme:mme_perception_score``, or groups) and prints rows.

    What will not run, a configuration or a task of a group, is told before the first run.
    """
    if not is_installed():
        expected = f"tasks of lmms-eval with {install('eval')}, or drawn ones: {one_of(TASKS, tasks[0])}"
        raise ApETError("eval --tasks", ",".join(tasks), expected)
    named = [parse_task(task) for task in tasks]
    layers = layers_of(model, trust_remote_code=trust_remote_code)
    configurations, refused = plan(methods, keeps, stages, seeds, layers)
    configurations, unfit = _fitting(model, configurations, trust_remote_code=trust_remote_code)
    measures, left_out = _measures(named, limit)
    refused += unfit + left_out
    if not as_json:
        for line in refused:
            print(f"Not run: {line}")
    runs = [
        LmmsRun(model, configuration, measures, limit, folder, trust_remote_code)
        for configuration in configurations
    ]
    counted = [(run.configuration, run.run()) for run in runs]
    rows = rows_of_runs(counted)
    if as_json:
        print(json.dumps({"rows": rows, "not_run": refused}))
        return
    cells = []
    for row in rows:
        kept = "" if row["retention"] is None else f"{row['retention']:.1f}"
        score = "" if row["accuracy"] is None else f"{row['accuracy']:.4g}"
        budget = "" if row["keep"] is None else str(row["keep"])
        told = (row["method"], budget, row["stage2"], row["task"], row["metric"] or "", str(row["n"]))
        cells.append((*told, score, kept))
    print_table(("method", "budget", "stage 2", "task", "metric", "n", "score", "retention %"), cells)


def _measures(named: list[Measure], limit: int | None) -> tuple[tuple[Measure, ...], list[str]]:
    """What is counted, and a line for each task of a group that cannot be."""
    found = look_up(named, limit)
    for measure in named:
        own_lines = [line for line in found if line.asked == measure.task]
        if all(line.problem for line in own_lines):
            why = "; ".join(f"{line.task}: {line.problem}" for line in own_lines)
            expected = (
                f"a task of lmms-eval with data and a number, or a drawn one: {one_of(TASKS, measure.task)}"
            )
            raise ApETError("eval --tasks", why, expected)
    lines = [f"{line.task}: {line.problem}" for line in found if line.problem]
    return tuple(dict.fromkeys(line.measure for line in found if line.problem is None)), lines


def _fitting(
    model: str | None, configurations: list[Configuration], *, trust_remote_code: bool
) -> tuple[list[Configuration], list[str]]:
    """The configurations that fit the model, told from its configuration without its weights."""
    import torch
    from transformers import AutoModelForImageTextToText

    from apet.app.loading import load_config
    from apet.evaluation.evaluate import fitting
    from apet.evaluation.subject import Subject

    config = load_config(model, trust_remote_code=trust_remote_code)
    with torch.device("meta"):
        hollow = AutoModelForImageTextToText.from_config(config, trust_remote_code=trust_remote_code)
    tokenizer = SimpleNamespace(padding_side="left", pad_token="")
    subject = Subject(
        model or "embedded", hollow.eval(), SimpleNamespace(tokenizer=tokenizer), embedded=False
    )
    return fitting(subject, configurations)


def layers_of(model: str | None, *, trust_remote_code: bool = False) -> int:
    """Decoder layers of a model, from its configuration alone."""
    from apet.app.loading import load_config

    config = load_config(model, trust_remote_code=trust_remote_code)
    return int(config.get_text_config(decoder=True).num_hidden_layers)


def rows_of_runs(counted: list[tuple[Configuration, list[Score]]]) -> list[dict[str, Any]]:
    """Rows as ``apet eval`` prints them; what lmms-eval does not tell is None.

    ``accuracy`` is the sum of the task's metrics that are named, in their own unit. ``all`` is the mean
    retention over the tasks, since metrics of different units have no mean: its accuracy is that mean as a
    share.
    """
    whole = {
        score.task: score.value
        for configuration, scores in counted
        if configuration.built is None
        for score in scores
    }
    rows = []
    for configuration, scores in counted:
        kept = [100 * s.value / whole[s.task] if whole.get(s.task) else None for s in scores]
        values = [value for value in kept if value is not None]
        mean = sum(values) / len(values) if values else None
        total = sum(score.n for score in scores)
        rows.append(
            _row(configuration, Score(ALL, "", 0.0, total), None if mean is None else mean / 100, mean)
        )
        rows += [
            _row(configuration, score, score.value, share) for score, share in zip(scores, kept, strict=True)
        ]
    return rows


def _row(one: Configuration, score: Score, accuracy: float | None, retention: float | None) -> dict[str, Any]:
    metrics = {"metric": score.metric or None, "accuracy": accuracy, "retention": retention}
    who = {"method": one.method, "keep": one.keep, "stage2": one.stage2, "task": score.task, "seed": one.seed}
    return {**dict.fromkeys(field.name for field in fields(Row)), **who, "n": score.n, **metrics}
