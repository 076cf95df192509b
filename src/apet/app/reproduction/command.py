"""``apet reproduce`` from its arguments to what it prints."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from apet.app.eval_lmms import layers_of
from apet.app.known import KNOWN, configuration_of
from apet.app.lmms.benchmarks import BENCHMARKS, Measure, find
from apet.app.lmms.check import is_installed, look_up
from apet.app.reproduction.planned import Reproduction, cost_of
from apet.app.reproduction.print import print_results, print_runs
from apet.core.errors import ApETError
from apet.core.words import counted, one_of
from apet.evaluation.published import PUBLISHED, Published
from apet.installing import install


def reproduce(
    name: str,
    *,
    model: str | None,
    tasks: Sequence[str],
    keeps: Sequence[int | float],
    limit: int | None,
    output: Path,
    run: bool,
    as_json: bool,
) -> None:
    """Prints the runs behind a table, runs them if they can be, and sets both results side by side.

    Benchmarks and budgets are some of the table's, or all if there are none; ``model`` is another checkpoint
    than its own. Runs that have finished in the folder ``output`` are not run again.
    """
    if name not in PUBLISHED:
        raise ApETError("reproduce", repr(name), one_of(PUBLISHED, name))
    table = PUBLISHED[name]
    benchmarks = _chosen("--tasks", find(tasks), table.tasks)
    budgets = _chosen("--keep", keeps, list(table.runs))
    table = replace(table, model=model or table.model)
    layers, reason = _layers(table, reachable=run)
    planned = Reproduction.of(name, table, benchmarks, budgets, limit, output, layers)
    planned.not_run = reason if run else "not asked for"
    if planned.not_run is None and not is_installed():
        planned.not_run = f"lmms-eval is not installed: {install('eval')}"
    if not as_json:
        print_runs(planned)
    questions = _questions(planned, limit) if planned.not_run is None else None
    if not as_json:
        print(cost_of(planned, questions), end="\n\n")
    if planned.not_run is None:
        _run(planned, output)
    else:
        planned.look()
    if as_json:
        print(json.dumps(planned.as_json()))
    else:
        print_results(planned)
        if planned.not_run is not None and not run:
            print(f"Not run: {planned.not_run}.")
    if run and planned.not_run is not None:
        raise ApETError("reproduce", planned.not_run, "what the runs need, or --no-run to see them")
    if planned.failed:
        budget, benchmark = next(iter(planned.failed))
        got = f"{counted(len(planned.failed), 'run')} of {len(planned.runs)} without a figure, the first "
        got += f"{BENCHMARKS[benchmark].title} at {budget} ({planned.failed[budget, benchmark]})"
        raise ApETError("reproduce", got, f"all to be read; what was is in {output / 'results.json'}")


def _chosen(option: str, asked: Sequence[Any], known: Sequence[Any]) -> list[Any]:
    """What is asked for of a table, in its order."""
    for wanted in asked:
        if wanted not in known:
            raise ApETError(f"reproduce {option}", str(wanted), one_of(map(str, known), str(wanted)))
    return [wanted for wanted in known if not asked or wanted in asked]


def _layers(table: Published, *, reachable: bool) -> tuple[int, str | None]:
    """Decoder layers of the model, and why it cannot be run, if so: then those of the table's own."""
    if reachable:
        try:
            return layers_of(table.model), None
        except ApETError as error:
            reason = f"the model cannot be reached: {error.got}"
    else:
        reason = None
    return int(configuration_of(KNOWN[table.known]).get_text_config(decoder=True).num_hidden_layers), reason


def _questions(planned: Reproduction, limit: int | None) -> dict[str, int] | None:
    """How many questions the benchmarks left ask; if one cannot be run, none is, and the reason is kept."""
    unfinished = dict.fromkeys(name for (_, name), run in planned.runs.items() if run.results is None)
    found = (
        look_up([Measure(task, ()) for name in unfinished for task in BENCHMARKS[name].tasks], limit)
        if unfinished
        else []
    )
    problems = [f"{line.task}: {line.problem}" for line in found if line.problem]
    if problems:
        planned.not_run = "; ".join(problems)
        return None
    counts = {line.task: line.questions for line in found}
    return {name: sum(counts[task] for task in BENCHMARKS[name].tasks) for name in unfinished}


def _run(planned: Reproduction, output: Path) -> None:
    """Runs what is planned, one after another; what is known is written after each."""
    planned.write(output)
    for number, (budget, benchmark) in enumerate(planned.runs, 1):
        line = f"apet reproduce: {number} of {len(planned.runs)}: {BENCHMARKS[benchmark].title} at {budget}"
        print(line, file=sys.stderr, flush=True)
        planned.read(budget, benchmark)
        planned.write(output)
