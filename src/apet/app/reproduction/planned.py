"""The runs behind a table, what they cost, and the figures that have come of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from apet.app.known import KNOWN, configuration_of, inputs
from apet.app.lmms.benchmarks import BENCHMARKS
from apet.app.lmms.runs import LmmsRun
from apet.app.plan.costs import Load, plan
from apet.app.plan.devices import DEVICES
from apet.app.plan.shapes import Text, Vision, text_of, vision_of
from apet.app.plan.skeleton import skeleton
from apet.core.errors import ApETError
from apet.core.words import counted, in_time
from apet.evaluation.configurations import FULL, Configuration, build_method, parse_method
from apet.evaluation.published import Budget, Published
from apet.methods import Method


@dataclass
class Reproduction:
    """A table, what is run of it, and what came of that so far, by budget and benchmark.

    ``values`` are figures as tables have them, of runs that have finished; ``failed`` is why one could not be
    read, ``not_run`` why nothing is run at all. Budgets are ``"full"`` and columns of the table.
    """

    name: str
    table: Published
    benchmarks: Sequence[str]
    budgets: Sequence[Budget]
    runs: dict[tuple[Budget, str], LmmsRun]
    values: dict[tuple[Budget, str], float] = field(default_factory=dict)
    failed: dict[tuple[Budget, str], str] = field(default_factory=dict)
    not_run: str | None = None

    @classmethod
    def of(
        cls,
        name: str,
        table: Published,
        benchmarks: Sequence[str],
        budgets: Sequence[Budget],
        limit: int | None,
        folder: Path,
        layers: int,
    ) -> Reproduction:
        """Plans every run: each benchmark by itself, so that one that fails takes no other with it."""
        runs = {}
        for budget in (FULL, *budgets):
            configuration = _configuration(table, budget, layers)
            for benchmark in benchmarks:
                runs[budget, benchmark] = LmmsRun(
                    table.model,
                    configuration,
                    BENCHMARKS[benchmark].measures,
                    limit,
                    folder,
                    prompts=tuple(table.prompts.items()),
                    longest=table.lengths.get(benchmark, 128),
                )
        return cls(name, table, benchmarks, (FULL, *budgets), runs)

    def read(self, budget: Budget, benchmark: str) -> None:
        """Runs one, if it has not finished before, and keeps its figure, or why there is none."""
        try:
            scores = self.runs[budget, benchmark].run()
        except ApETError as error:
            self.failed[budget, benchmark] = str(error)
            return
        self.values[budget, benchmark] = BENCHMARKS[benchmark].score([score.value for score in scores])

    def look(self) -> None:
        """Reads the figures of runs that have finished before, and why others of them cannot be read."""
        for (budget, benchmark), run in self.runs.items():
            if run.results is not None:
                self.read(budget, benchmark)

    def retention(self, budget: Budget) -> float | None:
        """Mean percentage of the uncompressed model's figures; None if a benchmark has none."""
        shares = []
        for benchmark in self.benchmarks:
            whole, value = self.values.get((FULL, benchmark)), self.values.get((budget, benchmark))
            if not whole or value is None:
                return None
            shares.append(100 * value / whole)
        return sum(shares) / len(shares)

    def as_json(self) -> dict[str, Any]:
        """All of it as an object of plain types."""
        table = self.table
        measured = {budget: self.retention(budget) for budget in self.budgets if budget != FULL}
        return {
            "table": self.name,
            "source": table.source,
            "model": table.model,
            "benchmarks": list(self.benchmarks),
            "runs": [run.as_text() for run in self.runs.values()],
            "published": table.retention,
            "published_by_benchmark": table.figures,
            "published_by_benchmark_source": table.figures_source,
            "measured": {table.name: {key: value for key, value in measured.items() if value is not None}},
            "measured_by_benchmark": {
                budget: {
                    benchmark: self.values[budget, benchmark]
                    for benchmark in self.benchmarks
                    if (budget, benchmark) in self.values
                }
                for budget in self.budgets
            },
            "failed": {f"{benchmark} at {budget}": why for (budget, benchmark), why in self.failed.items()},
            "not_run": self.not_run,
            "notes": table.notes,
        }

    def write(self, folder: Path) -> None:
        """Writes what there is so far to ``results.json``, whole or not at all."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            new = folder / "results.json.new"
            new.write_text(json.dumps(self.as_json(), indent=2, ensure_ascii=False))
            new.replace(folder / "results.json")
        except OSError as error:
            raise ApETError(
                "reproduce --output", f"{folder} ({error.strerror})", "a writable folder"
            ) from error


def _configuration(table: Published, budget: Budget, layers: int) -> Configuration:
    """What is run for a column of the table."""
    if budget == FULL:
        return Configuration(FULL)
    keep, stages = table.runs[budget]
    name, fields = parse_method(table.method)
    built = build_method(name, keep, stages, layers, fields)
    return Configuration(table.method, keep, stages, None, built)


_DEVICE = "h200"
_LOAD = Load(words=96, answer=3)
"""A system prompt and a question, and a word or a letter."""


def cost_of(planned: Reproduction, questions: Mapping[str, int] | None) -> str:
    """The cost of the runs that have not finished, in three sentences.

    ``questions`` is how many each benchmark asks; None if nobody has counted: what is known is taken.
    """
    answers: Counter[str] = Counter()
    seconds, runs = 0.0, 0
    for (_, name), run in planned.runs.items():
        if run.results is not None:
            continue
        most = BENCHMARKS[name].questions if run.limit is None else run.limit * len(BENCHMARKS[name].tasks)
        count = min(BENCHMARKS[name].questions, most) if questions is None else questions[name]
        answers[name] += count
        seconds += count * _seconds(planned, run.configuration.built)
        runs += 1
    if not runs:
        return "Cost: none; all runs have finished before."
    (name, largest), total = answers.most_common(1)[0], answers.total()
    return (
        f"Cost: {'about ' if questions is None else ''}{total:,} answers in {counted(runs, 'run')}, "
        f"{100 * largest / total:.0f}% of them of {BENCHMARKS[name].title}. One at a time on "
        f"{DEVICES[_DEVICE].title}, they take at least {in_time(seconds)} by the arithmetic of apet plan, "
        "and more with loading and pictures. --tasks, --keep and --limit ask less."
    )


def _seconds(planned: Reproduction, method: Method | None) -> float:
    """The least time of an answer."""
    keep = None if method is None or callable(method.keep) else method.keep
    text, vision = _shapes(planned.table.known)
    return plan(text, vision, _LOAD, DEVICES[_DEVICE], keep, getattr(method, "stage2", None)).answer_seconds


@cache
def _shapes(known: str) -> tuple[Text, Vision]:
    """What a model of a built-in name computes for one picture or clip."""
    model = skeleton(configuration_of(KNOWN[known]))
    return text_of(model), vision_of(model, inputs(model, 1))
