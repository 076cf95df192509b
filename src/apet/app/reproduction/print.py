"""Published figures and those measured here, side by side."""

from __future__ import annotations

from apet.app.console import output, print_table
from apet.app.lmms.benchmarks import BENCHMARKS
from apet.app.reproduction.planned import Reproduction
from apet.evaluation.configurations import FULL
from apet.evaluation.published import Budget


def print_runs(planned: Reproduction) -> None:
    """The title, and the command of every run."""
    table = planned.table
    output().print(f"[bold]{table.title}[/bold] ({table.source})\n", highlight=False)
    for run in planned.runs.values():
        print(run.as_text())
    print()


def print_results(planned: Reproduction) -> None:
    """Figures by benchmark and their mean, and what a reader has to know beside them."""
    table = planned.table
    columns: list[Budget] = [FULL, *table.runs]
    head = [_name(budget) for budget in columns]
    rows = []
    for name in planned.benchmarks:
        title = BENCHMARKS[name].title
        published = [_cell(table.figures.get(budget, {}).get(name), "-") for budget in columns]
        measured = [_measured(planned, budget, planned.values.get((budget, name))) for budget in columns]
        rows += [[f"{title}, published", *published], [f"{title}, here", *measured]]
    print_table(["benchmark", *head], rows)
    print()
    rows = []
    for method, figures in table.retention.items():
        rows.append([f"{method}, published", *(_cell(figures.get(budget), "-") for budget in table.runs)])
        if method == table.name:
            part = len(planned.benchmarks) < len(table.tasks)
            over = f" ({len(planned.benchmarks)} of {len(table.tasks)} benchmarks)" if part else ""
            measured = [_measured(planned, budget, planned.retention(budget)) for budget in table.runs]
            rows.append([f"{method}, here{over}", *measured])
    print_table(["mean retention, %", *head[1:]], rows)
    print()
    source = [f"Published by benchmark: {table.figures_source}."] if table.figures_source else []
    for note in (*source, *table.notes):
        print(note)
    for (budget, name), why in planned.failed.items():
        print(f"Not read: {BENCHMARKS[name].title} at {_name(budget)}: {why}")


def _name(budget: Budget) -> str:
    return f"{budget:.0%}" if isinstance(budget, float) else str(budget)


def _cell(value: float | None, otherwise: str) -> str:
    return otherwise if value is None else f"{value:.1f}"


def _measured(planned: Reproduction, budget: Budget, value: float | None) -> str:
    return _cell(value, "not run" if budget not in planned.budgets or planned.not_run else "not read")
