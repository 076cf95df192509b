"""Runs of lmms-eval: their exact commands, and what they wrote."""

from __future__ import annotations

import hashlib
import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

from apet.app.lmms.benchmarks import METRICS, TASKS, Measure
from apet.app.lmms.process import run_command
from apet.core.errors import ApETError
from apet.evaluation.configurations import Configuration, parse_method


@dataclass(frozen=True)
class Score:
    """What lmms-eval counted on one task: the sum of the metrics that make its score."""

    task: str
    metric: str
    value: float
    n: int


@dataclass(frozen=True)
class LmmsRun:
    """One run of lmms-eval: a configuration on some of its tasks.

    Attributes:
        model: Model id or folder, or None for the embedded model.
        configuration: What to compress with.
        measures: Tasks of lmms-eval, and the metrics that make their scores.
        limit: Questions per task, or None for all.
        folder: Where runs are written; each has a folder of its own in it.
        trust_remote_code: Let the model's repository run its own code.
        prompts: Fields of `apet.app.lmms.prompts.Prompts`.
        longest: Most tokens of an answer, or None for what each task says.
    """

    model: str | None
    configuration: Configuration
    measures: tuple[Measure, ...]
    limit: int | None
    folder: Path
    trust_remote_code: bool = False
    prompts: tuple[tuple[str, Any], ...] = ()
    longest: int | None = None

    @property
    def _given(self) -> dict[str, Any]:
        one = self.configuration
        name, fields = parse_method(one.method)
        given: dict[str, Any] = {"pretrained": self.model or "embedded", "method": name}
        given |= {} if one.keep is None else {"keep": one.keep, "stage2": one.stage2}
        given |= fields if one.seed is None else {**fields, "seed": one.seed}
        given |= {"trust_remote_code": True} if self.trust_remote_code else {}
        return given | dict(self.prompts)

    @property
    def _rest(self) -> list[str]:
        tasks = ["--tasks", ",".join(one.task for one in self.measures)]
        own = (
            ["--include_path", str(TASKS)]
            if any((TASKS / f"{t.task}.yaml").exists() for t in self.measures)
            else []
        )
        longest = [] if self.longest is None else ["--gen_kwargs", f"max_new_tokens={self.longest}"]
        limit = [] if self.limit is None else ["--limit", str(self.limit)]
        return [*tasks, *own, *longest, *limit]

    @property
    def output(self) -> Path:
        """The run's own folder; another configuration, limit or task never has the same."""
        known = (
            sorted(self._given.items(), key=str),
            [one.task for one in self.measures],
            self.longest,
            self.limit,
        )
        return self.folder / hashlib.sha256(repr(known).encode()).hexdigest()[:16]

    @property
    def arguments(self) -> list[str]:
        """The command's arguments, without the program."""
        given = {**self._given, "answers": self.output / "answers.jsonl"}
        for key, value in given.items():
            if set(str(value)) & set(",='\"{}[]"):
                raise ApETError("lmms-eval", f"{key}={value}", "a name without commas, quotes, brackets or =")
        joined = ",".join(f"{key}={value}" for key, value in given.items())
        return ["--model", "apet", "--model_args", joined, *self._rest, "--output_path", str(self.output)]

    @property
    def results(self) -> Path | None:
        """The file that lmms-eval wrote when the run finished; None before."""
        return max(self.output.rglob("*_results.json"), default=None)

    def as_text(self) -> str:
        """The command as it is typed."""
        return shlex.join(["lmms-eval", *self.arguments])

    def scores(self) -> list[Score] | None:
        """What a finished run wrote; None if it has not finished."""
        written = self.results
        if written is None:
            return None
        try:
            read = json.loads(written.read_text())
            alone = len(self.measures) == 1
            return [score for measure in self.measures for score in _scores(measure, read, alone)]
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            why = error.args[0] if isinstance(error, LookupError) else error
            expected = "a file that lmms-eval wrote; delete its folder to run again"
            raise ApETError("lmms-eval", f"{written} ({why})", expected) from error

    def run(self) -> list[Score]:
        """Runs lmms-eval, unless this very run has finished before, and reads what it counted.

        Answers are kept as they are given: one that ended early asks only for what is missing.
        """
        found = self.scores()
        if found is not None:
            return found
        log = self.output / "log.txt"
        code, last = run_command(self.arguments, log)
        found = self.scores()
        if code or found is None:
            expected = f"a run that finishes; {log} has all that it said"
            raise ApETError("lmms-eval", f"a failed `{self.as_text()}` ({last})", expected)
        return found


def _scores(measure: Measure, read: Mapping[str, Any], alone: bool) -> list[Score]:
    """The score of a task; of a group those of its tasks, but for what only writes a file for a server."""
    found = []
    for task in _tasks(measure.task, read, alone):
        numbers = _numbers(read["results"].get(task, {}))
        if task != measure.task and not numbers:
            continue
        metrics = measure.metrics or METRICS.get(task) or tuple(numbers)
        missing = [name for name in metrics if name not in numbers]
        if missing or not numbers:
            there = ", ".join(numbers) or "no number"
            raise LookupError(f"{task} has no {missing[0] if missing else 'metric'} but {there}")
        if not measure.metrics and task not in METRICS and len(metrics) > 1:
            raise LookupError(f"{task} has several metrics and none is named: {', '.join(metrics)}")
        counted = read.get("n-samples", {}).get(task, {}).get("effective", 0)
        named = Measure(task, metrics)
        found.append(Score(task, named.metric, sum(numbers[name] for name in metrics), int(counted)))
    if not found:
        raise LookupError(f"{measure.task} has no task with a number")
    return found


def _tasks(name: str, read: Mapping[str, Any], alone: bool) -> list[str]:
    """The task itself if it has a number, else those below it."""
    results = read["results"]
    if _numbers(results.get(name, {})):
        return [name]
    below = read.get("group_subtasks", {}).get(name) or [task for task in results if alone and task != name]
    return [task for one in below for task in _tasks(one, read, False)] or [name]


def _numbers(written: Mapping[str, Any]) -> dict[str, float]:
    """Metrics by name, but for their errors; lmms-eval writes them as ``metric,filter``."""
    return {
        name.partition(",")[0]: float(value)
        for name, value in written.items()
        if "," in name
        and "_stderr" not in name
        and isinstance(value, Real)
        and not isinstance(value, bool)
        and math.isfinite(value)
    }
