"""``apet eval`` on tasks of lmms-eval: one run of it per configuration, and the same rows."""

from __future__ import annotations

import json
from typing import Any

from rich.table import Table

from apet.app.console import output
from apet.app.lmms_runs import Score, is_installed, plan_runs
from apet.core.errors import ApETError
from apet.evaluation.configurations import Configuration, Stages, plan
from apet.evaluation.statistics import ALL
from apet.evaluation.tasks import TASKS
from apet.installing import install

__all__ = ["forward_tasks", "layers_of", "rows_of_runs"]


def forward_tasks(
    model: str | None,
    methods: list[str],
    keeps: list[int | float],
    stages: list[Stages],
    seeds: int,
    runs: dict[str, Any],
    *,
    as_json: bool,
) -> None:
    """Runs lmms-eval on its tasks and prints rows.

    Args:
        model: Model id or folder, or None for the embedded model.
        methods: Names of methods, with fields if any.
        keeps: Budgets.
        stages: ``"off"``, ``"paper"`` or both.
        seeds: Seeds of methods that draw by chance.
        runs: Further arguments of `plan_runs`.
        as_json: Print one JSON object in place of a table.

    Raises:
        ApETError: If lmms-eval is not installed, does not know a task, or fails.
    """
    if not is_installed():
        expected = f"drawn tasks ({', '.join(TASKS)}), or tasks of lmms-eval with {install('eval')}"
        raise ApETError("eval --tasks", ",".join(runs["tasks"]), expected)
    configurations, _ = plan(methods, keeps, stages, seeds, layers_of(model, **_trust(runs)))
    planned = plan_runs(model, configurations, **runs)
    counted = [(run.configuration, run.run()) for run in planned]
    rows = rows_of_runs(counted)
    if as_json:
        print(json.dumps({"rows": rows}))
        return
    table = Table("method", "budget", "stage 2", "task", "n", "score", "retention %", box=None)
    for row in rows:
        kept = "" if row["retention"] is None else f"{row['retention']:.1f}"
        budget = "" if row["keep"] is None else str(row["keep"])
        cells = (row["method"], budget, row["stage2"], row["task"], str(row["n"]), f"{row['accuracy']:.4g}")
        table.add_row(*cells, kept)
    output().print(table)


def _trust(runs: dict[str, Any]) -> dict[str, bool]:
    return {"trust_remote_code": bool(runs.get("trust_remote_code"))}


def layers_of(model: str | None, *, trust_remote_code: bool = False) -> int:
    """Decoder layers of a model, from its configuration alone.

    Raises:
        ApETError: If it cannot be reached or read, or its type is not supported.
    """
    from apet.app.loading import load_config

    config = load_config(model, trust_remote_code=trust_remote_code)
    return int(config.get_text_config(decoder=True).num_hidden_layers)


def rows_of_runs(counted: list[tuple[Configuration, list[Score]]]) -> list[dict[str, Any]]:
    """Rows as ``apet eval`` prints them; what lmms-eval does not tell is None.

    ``accuracy`` is a task's first metric, in its own unit. ``all`` is the mean retention over the tasks,
    since metrics of different units have no mean: its accuracy is that mean as a share.
    """
    whole = {score.task: score.value for one, scores in counted if one.built is None for score in scores}
    rows = []
    for one, scores in counted:
        kept = [100 * s.value / whole[s.task] if whole.get(s.task) else None for s in scores]
        known = [value for value in kept if value is not None]
        mean = sum(known) / len(known) if known else None
        total = sum(score.n for score in scores)
        rows.append(_row(one, ALL, total, None if mean is None else mean / 100, mean))
        rows += [_row(one, s.task, s.n, s.value, share) for s, share in zip(scores, kept, strict=True)]
    return rows


def _row(
    one: Configuration, task: str, n: int, accuracy: float | None, retention: float | None
) -> dict[str, Any]:
    told = {"accuracy": accuracy, "retention": retention}
    untold = dict.fromkeys(("changed", "kept_tokens", "select_ms", "prefill_s", "total_s"))
    who = {"method": one.method, "keep": one.keep, "stage2": one.stage2, "task": task, "seed": one.seed}
    return {**who, "n": n, **told, **untold}
