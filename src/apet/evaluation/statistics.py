"""Accuracy, retention and their like, with bootstrap intervals over pictures and the spread over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apet.evaluation.configurations import Configuration, Stages
from apet.evaluation.store import Records
from apet.evaluation.tasks import TASKS, Case
from apet.hf.results import Schedule

ALL = "all"
"""Name of the task that is the mean over all questions."""

REFERENCE = "apet"
"""What other methods' accuracy is compared with, question by question."""

Floats = NDArray[np.float64]
_DRAWS = 1000


@dataclass(frozen=True)
class Row:
    """One configuration on one task.

    Attributes:
        method: As on the command line; ``"full"`` is the uncompressed model.
        keep: The budget that was asked for; None where there is none.
        stage2: ``"off"`` or ``"paper"``.
        task: A task, or ``"all"`` for the mean over all questions.
        seed: Seed of a method that draws by chance, else None.
        n: Questions.
        accuracy: Share answered rightly, 0 to 1.
        retention: Accuracy in percent of the uncompressed model's; None where that has none.
        changed: Share of answers that differ from the uncompressed model's, right or wrong.
        kept_tokens: Visual tokens per question, averaged over decoder layers and questions.
        select_ms: Milliseconds of selecting, for one question alone.
        first_token_s: Seconds to the first token, for one question alone: vision, selection and prefill.
        total_s: Seconds of its whole answer. Times are medians over the timed questions of all tasks.
        timed_tokens: ``kept_tokens`` of the questions that were timed; None if none was.
        interval: 95% bootstrap interval of the accuracy, drawing pictures with all their questions.
        schedule: Visual tokens by decoder layer, ``[[first layer, tokens], ..]``, averaged over questions.
    """

    method: str
    keep: int | float | None
    stage2: Stages
    task: str
    seed: int | None
    n: int
    accuracy: float
    retention: float | None
    changed: float
    kept_tokens: float
    select_ms: float | None
    first_token_s: float | None
    total_s: float | None
    timed_tokens: float | None
    interval: tuple[float, float]
    schedule: list[tuple[int, float]]

    def as_json(self) -> dict[str, Any]:
        """The row as an object of plain types."""
        return asdict(self)


@dataclass(frozen=True)
class Summary:
    """A `Row` averaged over seeds.

    Attributes:
        row: Means over the seeds; its ``seed`` is None and its interval is of the mean.
        seeds: Number of seeds.
        spread: Least and largest accuracy among them.
        retention_interval: 95% bootstrap interval of the retention; None where there is no retention.
        ahead: Accuracy less that of `REFERENCE` at the same budget, and the paired 95% bootstrap interval of
            that difference; None for itself and where it was not run.
    """

    row: Row
    seeds: int
    spread: tuple[float, float]
    retention_interval: tuple[float, float] | None
    ahead: tuple[float, float, float] | None

    def as_json(self) -> dict[str, Any]:
        """The summary as an object of plain types."""
        rest = {"seeds": self.seeds, "spread": self.spread, "retention_interval": self.retention_interval}
        return {**self.row.as_json(), **rest, "ahead": self.ahead}


def mean_tokens(schedule: Schedule, layers: int) -> float:
    """Visual tokens per layer, averaged over the decoder layers."""
    ends = [first for first, _ in schedule[1:]] + [layers]
    return sum(tokens * (end - first) for (first, tokens), end in zip(schedule, ends, strict=True)) / layers


def bootstrap(values: Floats, groups: NDArray[Any], base: Floats | None = None) -> tuple[float, float]:
    """A 95% bootstrap interval of a mean, or of the ratio of two, drawing groups with all that is in them.

    Args:
        values: ``(n,)`` scores.
        groups: ``(n,)`` what each belongs to: the picture that was asked about.
        base: ``(n,)`` scores to divide by, drawn together with the others.
    """
    rng = np.random.default_rng(0)
    names, index = np.unique(groups, return_inverse=True)
    below = np.bincount(index, base).astype(float)
    above = np.bincount(index, values)
    picks = rng.integers(0, len(names), (_DRAWS, len(names)))
    total, divisor = above[picks].sum(1), below[picks].sum(1)
    low, high = np.quantile(total / np.maximum(divisor, 1e-12), (0.025, 0.975))
    return float(low), float(high)


class Tally:
    """What came of every configuration, the uncompressed model first, on every case, counted.

    ``keys`` are the configurations' keys in the records, ``layers`` the model's decoder layers.
    """

    def __init__(
        self,
        configurations: Sequence[Configuration],
        keys: Sequence[str],
        cases: Sequence[Case],
        records: Records,
        layers: int,
    ) -> None:
        self.configurations, self.keys, self.cases, self.records = configurations, keys, cases, records
        self.layers = layers
        answers = [records.answers(key, cases) for key in keys]
        self.scores = np.asarray(
            [[case.score(given) for case, given in zip(cases, row, strict=True)] for row in answers]
        )
        self.changed = np.asarray([[a != b for a, b in zip(row, answers[0], strict=True)] for row in answers])
        self.groups = np.asarray([case.group for case in cases])
        self.tasks = np.asarray([case.task for case in cases])

        self.named = [ALL, *(task for task in TASKS if task in self.tasks)]

    def rows(self) -> list[Row]:
        """One row per configuration and task, ``all`` first."""
        numbers = range(len(self.configurations))
        return [self._row([number], task) for number in numbers for task in self.named]

    def summaries(self) -> list[Summary]:
        """The same with configurations that differ in their seed alone taken together."""
        together: dict[tuple[object, ...], list[int]] = {}
        for number, configuration in enumerate(self.configurations):
            together.setdefault((configuration.method, configuration.keep, configuration.stage2), []).append(
                number
            )
        return [self._summary(numbers, task) for numbers in together.values() for task in self.named]

    def _where(self, task: str) -> NDArray[np.bool_]:
        """The cases of a task."""
        return np.full(len(self.cases), True) if task == ALL else self.tasks == task

    def _row(self, numbers: list[int], task: str) -> Row:
        """The row of one configuration, or the mean over configurations that differ in their seed."""
        configuration = self.configurations[numbers[0]]
        of_task = self._where(task)
        cases = [case for case, is_asked in zip(self.cases, of_task, strict=True) if is_asked]
        scores = self.scores[numbers][:, of_task].mean(0)
        whole = float(self.scores[0, of_task].mean())
        schedules = [s for n in numbers for s in self.records.schedules(self.keys[n], cases)]
        times = [t for n in numbers for t in self.records.times(self.keys[n], self.cases)]
        return Row(
            method=configuration.method,
            keep=configuration.keep,
            stage2=configuration.stage2,
            task=task,
            seed=configuration.seed if len(numbers) == 1 else None,
            n=len(cases),
            accuracy=float(scores.mean()),
            retention=100 * float(scores.mean()) / whole if whole else None,
            changed=float(self.changed[numbers][:, of_task].mean()),
            kept_tokens=float(np.mean([mean_tokens(schedule, self.layers) for schedule in schedules])),
            select_ms=_median(times, "select", 1000),
            first_token_s=_median(times, "first", 1),
            total_s=_median(times, "total", 1),
            timed_tokens=self._timed_tokens(numbers),
            interval=bootstrap(scores, self.groups[of_task]),
            schedule=_mean_schedule(schedules),
        )

    def _timed_tokens(self, numbers: list[int]) -> float | None:
        tokens = []
        for number in numbers:
            key = self.keys[number]
            timed = [case for case in self.cases if self.records.is_timed(key, case)]
            tokens += [mean_tokens(schedule, self.layers) for schedule in self.records.schedules(key, timed)]
        return float(np.mean(tokens)) if tokens else None

    def _ahead(self, numbers: list[int], asked: NDArray[np.bool_]) -> tuple[float, float, float] | None:
        """By how much the accuracy is above that of `REFERENCE` at the same budget, with its interval."""
        configuration = self.configurations[numbers[0]]
        same = [
            number
            for number, other in enumerate(self.configurations)
            if (other.method, other.keep, other.stage2)
            == (REFERENCE, configuration.keep, configuration.stage2)
        ]
        if not same or configuration.method == REFERENCE:
            return None
        difference = (self.scores[numbers].mean(0) - self.scores[same[0]])[asked]
        return float(difference.mean()), *bootstrap(difference, self.groups[asked])

    def _summary(self, numbers: list[int], task: str) -> Summary:
        """The row over seeds, with their spread."""
        of_task = self._where(task)
        each = self.scores[numbers][:, of_task]
        ratio = None
        if self.scores[0, of_task].any():
            low, high = bootstrap(each.mean(0), self.groups[of_task], self.scores[0, of_task])
            ratio = (100 * low, 100 * high)
        per_seed = each.mean(1)
        spread = (float(per_seed.min()), float(per_seed.max()))
        row = self._row(numbers, task)
        return Summary(row, len(numbers), spread, ratio, self._ahead(numbers, of_task))


def _median(times: list[dict[str, Any]], name: str, factor: float) -> float | None:
    return round(factor * float(np.median([t[name] for t in times])), 5) if times else None


def _mean_schedule(schedules: Sequence[Schedule]) -> list[tuple[int, float]]:
    firsts = sorted({first for schedule in schedules for first, _ in schedule})
    means = []
    for at in firsts:
        tokens = [[count for first, count in schedule if first <= at][-1] for schedule in schedules]
        means.append((at, round(float(np.mean(tokens)), 2)))
    return means
