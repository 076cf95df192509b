"""``apet reproduce``: a published table, the exact runs that come closest to it, and what they give here."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from apet.app.forward import layers_of, rows_of_runs
from apet.app.lmms_runs import LmmsRun, is_installed, plan_runs
from apet.core.errors import ApETError
from apet.evaluation.configurations import plan
from apet.evaluation.published import PUBLISHED, Published
from apet.evaluation.statistics import ALL
from apet.installing import install

__all__ = ["reproduce"]


def reproduce(
    name: str, *, model: str | None, limit: int | None, output: Path, run: bool, as_json: bool
) -> None:
    """Prints the runs behind a table, runs them if they can be, and sets both results side by side.

    Args:
        name: A name out of `PUBLISHED`.
        model: Another checkpoint than the table's, such as a local copy; None for its own.
        limit: Questions per task, or None for all.
        output: Folder of the runs; finished ones are not run again.
        run: Whether to run at all.
        as_json: Print one JSON object in place of text.

    Raises:
        ApETError: If there is no such table, or a run fails.
    """
    if name not in PUBLISHED:
        raise ApETError("reproduce", repr(name), "one of: " + ", ".join(PUBLISHED))
    table = PUBLISHED[name]
    table = replace(table, model=model or table.model)
    reason = None if run else "not asked for"
    layers = 2
    if run:
        try:
            layers = layers_of(table.model)
        except ApETError as error:
            reason = f"the model cannot be reached: {error.got}"
    if reason is None and not is_installed():
        reason = f"lmms-eval is not installed: {install('eval')}"
    configurations, _ = plan([table.method], table.keeps, ["paper"], 1, layers)
    runs = plan_runs(table.model, configurations, table.tasks, limit, output)
    console = Console()
    if not as_json:
        _print_runs(table, runs, console)
    measured: dict[int | float, float] = {}
    if reason is None:
        rows = rows_of_runs([(one.configuration, one.run()) for one in runs])
        measured = {row["keep"]: row["retention"] for row in rows if row["task"] == ALL and row["keep"]}
    if as_json:
        print(json.dumps(_as_json(name, table, runs, measured, reason)))
        return
    _print_results(table, measured, console)
    if reason is not None:
        console.print(f"Not run: {reason}.", soft_wrap=True, markup=False, highlight=False)


def _print_runs(table: Published, runs: list[LmmsRun], console: Console) -> None:
    console.print(f"[bold]{table.title}[/bold] ({table.source})\n", highlight=False)
    for run in runs:
        console.print(run.as_text(), soft_wrap=True, markup=False, highlight=False)
    console.print()


def _print_results(table: Published, measured: dict[int | float, float], console: Console) -> None:
    head = [f"{keep:.0%}" if isinstance(keep, float) else str(keep) for keep in table.keeps]
    shown = Table("mean retention, %", *head, box=None, header_style="bold")
    for method, figures in table.retention.items():
        shown.add_row(f"{method}, published", *(f"{figures[keep]:.1f}" for keep in table.keeps))
        if method == table.method:
            cells = (f"{measured[keep]:.1f}" if keep in measured else "not run" for keep in table.keeps)
            shown.add_row(f"{method}, here", *cells)
    console.print(shown)
    for note in table.notes:
        console.print(note, soft_wrap=True, highlight=False)


def _as_json(
    name: str,
    table: Published,
    runs: list[LmmsRun],
    measured: dict[int | float, float],
    reason: str | None,
) -> dict[str, Any]:
    return {
        "table": name,
        "source": table.source,
        "runs": [run.as_text() for run in runs],
        "published": table.retention,
        "measured": {table.method: measured},
        "not_run": reason,
        "notes": table.notes,
    }
