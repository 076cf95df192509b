"""One evaluation from start to end: plan, run, count."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apet.core.errors import ApETError
from apet.evaluation.configurations import Configuration, Stages, plan
from apet.evaluation.plain import check_applies
from apet.evaluation.runner import configuration_key, run
from apet.evaluation.statistics import Row, Summary, Tally
from apet.evaluation.store import Records, Store
from apet.evaluation.subject import Subject
from apet.evaluation.tasks import Case, draw_cases, is_trained
from apet.hf.choice.budgets import check_counts
from apet.scenes import Scene

QUESTIONS = 225
"""Questions per task that are asked if no limit is named."""


@dataclass(frozen=True)
class Wanted:
    """What to evaluate.

    Attributes:
        methods: Names of methods, with fields if any; see `apet.evaluation.configurations.plan`.
        keeps: Budgets.
        stages: ``"off"``, ``"paper"`` or both.
        tasks: Names of tasks.
        seeds: Seeds of methods that draw by chance.
        limit: Questions per task.
        split: ``"test"`` or ``"validation"``; neither was trained on.
        times: Whether some questions are also asked alone and timed; times that are known are told anyway.
    """

    methods: Sequence[str]
    keeps: Sequence[int | float]
    stages: Sequence[Stages]
    tasks: Sequence[str]
    seeds: int = 3
    limit: int = QUESTIONS
    split: str = "test"
    times: bool = True

    def check(self) -> None:
        """Checks what can be checked before a model is loaded.

        Raises:
            ApETError: If a method, a field or a number is wrong.
        """
        if self.limit < 1:
            raise ApETError("eval --limit", str(self.limit), "an int of at least 1")
        plan(self.methods, self.keeps, self.stages, self.seeds, layers=2)


@dataclass(frozen=True)
class Evaluation:
    """What came of it.

    Attributes:
        model: Name of the model.
        embedded: Whether it is the embedded one, for which some tasks were not trained.
        layers: Its decoder layers.
        wanted: What was asked for.
        rows: One per configuration, seed and task.
        summaries: The same over seeds.
        bands: Kept share and score by band of the token sequence, by method, budget and stage.
        complexity: Of configurations whose budget follows the picture: kept tokens by number of things in it.
        refused: One line per configuration that its method refuses.
        same: Of the answers that were also given to one question alone through plain calls, how many are the
            same, and how many there are.
        machines: Where those were timed.
    """

    model: str
    embedded: bool
    layers: int
    wanted: Wanted
    rows: list[Row]
    summaries: list[Summary]
    bands: list[tuple[Configuration, dict[str, list[float]]]]
    complexity: list[tuple[Configuration, list[tuple[int, float]]]]
    refused: list[str]
    same: tuple[int, int]
    machines: list[str]

    def untrained(self) -> list[str]:
        """The tasks in it that the model was not trained for, as far as that is known."""
        return [task for task in self.wanted.tasks if self.embedded and not is_trained(task, self.model)]

    def as_json(self) -> dict[str, Any]:
        """All of it as an object of plain types."""
        return {
            "model": self.model,
            "layers": self.layers,
            "split": self.wanted.split,
            "tasks": list(self.wanted.tasks),
            "not_trained": self.untrained(),
            "refused": self.refused,
            "same_as_alone": self.same,
            "machines": self.machines,
            "rows": [row.as_json() for row in self.rows],
            "summaries": [summary.as_json() for summary in self.summaries],
            "bands": [
                {"method": one.method, "keep": one.keep, "stage2": one.stage2, "seed": one.seed, **bands}
                for one, bands in self.bands
            ],
            "complexity": [
                {"method": one.method, "keep": one.keep, "stage2": one.stage2, "kept": kept}
                for one, kept in self.complexity
            ],
        }


def evaluate(
    subject: Subject,
    wanted: Wanted,
    output: Path,
    progress: Callable[[int, int, str], None] = lambda done, total, what: None,
    workers: int = 1,
) -> Evaluation:
    """Runs what is wanted as far as it is not done yet, and counts.

    Args:
        subject: The model.
        wanted: Methods, budgets and tasks.
        output: Folder of ``answers.jsonl``; answers that are in it are not asked for again.
        progress: Called before every piece of work with pieces done, pieces in all, and what comes next.
        workers: Processes that answer at once, for a small model on the CPU.

    Raises:
        ApETError: If something wanted does not exist or does not fit, or the folder cannot be used.
    """
    wanted.check()
    configurations, refused = plan(wanted.methods, wanted.keeps, wanted.stages, wanted.seeds, subject.layers)
    configurations, unfit = fitting(subject, configurations)
    refused += unfit
    cases = draw_cases(wanted.tasks, wanted.limit, wanted.split)
    with Store(output / "answers.jsonl") as store:
        records = run(subject, configurations, cases, store, progress, workers, times=wanted.times)
    keys = [configuration_key(subject, configuration) for configuration in configurations]
    tally = Tally(configurations, keys, cases, records, subject.layers)
    measured = zip(configurations, (records.bands(key) for key in keys), strict=True)
    return Evaluation(
        model=subject.name,
        embedded=subject.embedded,
        layers=subject.layers,
        wanted=wanted,
        rows=tally.rows(),
        summaries=tally.summaries(),
        bands=[(one, bands) for one, bands in measured if bands is not None],
        complexity=_complexity(configurations, keys, cases, records),
        refused=refused,
        same=_same_as_alone(keys, cases, records),
        machines=sorted({line["machine"] for key in keys for line in records.times(key, cases)}),
    )


def fitting(
    subject: Subject, configurations: Sequence[Configuration]
) -> tuple[list[Configuration], list[str]]:
    """The configurations that fit the model, and one line for each that does not."""
    fitting, unfit = [], []
    for configuration in configurations:
        if subject.picture_tokens is not None and configuration.built is not None:
            check_counts(configuration.built, subject.picture_tokens, "eval")
        try:
            check_applies(subject, configuration.built)
            fitting.append(configuration)
        except ApETError as error:
            unfit.append(
                f"{configuration.method}, keep {configuration.keep}, stage 2 {configuration.stage2}: {error}"
            )
    return fitting, list(dict.fromkeys(unfit))


def _complexity(
    configurations: Sequence[Configuration], keys: Sequence[str], cases: Sequence[Case], records: Records
) -> list[tuple[Configuration, list[tuple[int, float]]]]:
    """Where budgets follow the picture: mean kept tokens by the number of things in it."""
    first = {case.group: case for case in cases if isinstance(case.drawn.content, Scene)}
    single = list(first.values())
    points = []
    for configuration, key in zip(configurations, keys, strict=True):
        kept: dict[int, list[float]] = defaultdict(list)
        for case, schedule in zip(single, records.schedules(key, single), strict=True):
            content: Any = case.drawn.content
            kept[len(content.shapes) + len(content.texts) + len(getattr(content, "things", ()))].append(
                schedule[-1][1]
            )
        if len({tokens for part in kept.values() for tokens in part}) > 1:
            points.append(
                (configuration, [(things, sum(part) / len(part)) for things, part in sorted(kept.items())])
            )
    return points


def _same_as_alone(keys: Sequence[str], cases: Sequence[Case], records: Records) -> tuple[int, int]:
    same = count = 0
    for key in keys:
        counted_answers = dict(zip((case.key for case in cases), records.answers(key, cases), strict=True))
        for line in records.times(key, cases):
            count += 1
            same += counted_answers[line["case"]][0] == line["answer"]
    return same, count
