"""Published figures and those measured here, side by side."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from apet.app.lmms.benchmarks import BENCHMARKS
from apet.app.reproduction.planned import Reproduction
from apet.evaluation.configurations import FULL
from apet.evaluation.published import Budget


def print_runs(planned: Reproduction, console: Console) -> None:
    """The title, and the command of every run."""
    table = planned.table
    console.print(f"[bold]{table.title}[/bold] ({table.source})\n", highlight=False)
    for run in planned.runs.values():
        console.print(run.as_text(), soft_wrap=True, markup=False, highlight=False)
    console.print()


def print_results(planned: Reproduction, console: Console) -> None:
    """Figures by benchmark and their mean, and what a reader has to know beside them."""
    table = planned.table
    columns: list[Budget] = [FULL, *table.runs]
    head = [_name(budget) for budget in columns]
    by_benchmark = Table("benchmark", *head, box=None, header_style="bold", pad_edge=False)
    for name in planned.benchmarks:
        title = BENCHMARKS[name].title
        cells = (_cell(table.figures.get(budget, {}).get(name), "-") for budget in columns)
        by_benchmark.add_row(f"{title}, published", *cells)
        by_benchmark.add_row(
            f"{title}, here",
            *(_measured(planned, budget, planned.values.get((budget, name))) for budget in columns),
        )
    console.print(by_benchmark)
    console.print()
    shown = Table("mean retention, %", *head[1:], box=None, header_style="bold", pad_edge=False)
    for method, figures in table.retention.items():
        shown.add_row(f"{method}, published", *(_cell(figures.get(budget), "-") for budget in table.runs))
        if method == table.name:
            part = len(planned.benchmarks) < len(table.tasks)
            over = f" ({len(planned.benchmarks)} of {len(table.tasks)} benchmarks)" if part else ""
            cells = (_measured(planned, budget, planned.retention(budget)) for budget in table.runs)
            shown.add_row(f"{method}, here{over}", *cells)
    console.print(shown)
    console.print()
    source = [f"Published by benchmark: {table.figures_source}."] if table.figures_source else []
    for note in (*source, *table.notes):
        console.print(note, soft_wrap=True, markup=False, highlight=False)
    for (budget, name), why in planned.failed.items():
        line = f"Not read: {BENCHMARKS[name].title} at {_name(budget)}: {why}"
        console.print(line, soft_wrap=True, markup=False, highlight=False)


def _name(budget: Budget) -> str:
    return f"{budget:.0%}" if isinstance(budget, float) else str(budget)


def _cell(value: float | None, otherwise: str) -> str:
    return otherwise if value is None else f"{value:.1f}"


def _measured(planned: Reproduction, budget: Budget, value: float | None) -> str:
    return _cell(value, "not run" if budget not in planned.budgets or planned.not_run else "not read")
