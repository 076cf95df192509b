"""Runs of lmms-eval: their exact commands, each in a process of its own, and what they wrote."""

from __future__ import annotations

import hashlib
import json
import math
import multiprocessing
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

from apet.app.lmms.benchmarks import TASK_FOLDER, Measure
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
    """One run of lmms-eval: a configuration of a model (None: the embedded one) on some of its tasks.

    In ``folder`` each run has a folder of its own. ``prompts`` are fields of `apet.app.lmms.prompts.Prompts`;
    ``limit``, of questions per task, is None for all, ``longest``, of an answer's tokens, for what tasks say.
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
        configuration = self.configuration
        name, fields = parse_method(configuration.method)
        arguments: dict[str, Any] = {"pretrained": self.model or "embedded", "method": name}
        arguments |= (
            {} if configuration.keep is None else {"keep": configuration.keep, "stage2": configuration.stage2}
        )
        arguments |= fields if configuration.seed is None else {**fields, "seed": configuration.seed}
        arguments |= {"trust_remote_code": True} if self.trust_remote_code else {}
        return arguments | dict(self.prompts)

    @property
    def _tasks(self) -> list[str]:
        return [measure.task for measure in self.measures]

    @property
    def output(self) -> Path:
        """The run's own folder; another configuration, limit or task never has the same."""
        identity = (sorted(self._given.items(), key=str), self._tasks, self.longest, self.limit)
        return self.folder / hashlib.sha256(repr(identity).encode()).hexdigest()[:16]

    @property
    def arguments(self) -> list[str]:
        """The command's arguments, without the program."""
        model_arguments = {**self._given, "answers": self.output / "answers.jsonl"}
        for key, value in model_arguments.items():
            if set(str(value)) & set(",='\"{}[]"):
                raise ApETError("lmms-eval", f"{key}={value}", "a name without commas, quotes, brackets or =")
        command = [
            "--model",
            "apet",
            "--model_args",
            ",".join(f"{key}={value}" for key, value in model_arguments.items()),
        ]
        command += ["--tasks", ",".join(self._tasks)]
        if any((TASK_FOLDER / f"{task}.yaml").exists() for task in self._tasks):
            command += ["--include_path", str(TASK_FOLDER)]
        command += [] if self.longest is None else ["--gen_kwargs", f"max_new_tokens={self.longest}"]
        command += [] if self.limit is None else ["--limit", str(self.limit)]
        return [*command, "--output_path", str(self.output)]

    @property
    def results(self) -> Path | None:
        """The file that lmms-eval wrote when the run finished; None before."""
        return max(self.output.rglob("*_results.json"), default=None)

    def as_text(self) -> str:
        """The command as it is typed."""
        return shlex.join(["lmms-eval", *self.arguments])

    def run(self) -> list[Score]:
        """Runs lmms-eval, unless this very run has finished before, and reads what it counted.

        Answers are kept as they are given: one that ended early asks only for what is missing.
        """
        written = self.results
        if written is None:
            log = self.output / "log.txt"
            code, last = run_command(self.arguments, log)
            written = self.results
            if code or written is None:
                expected = f"a run that finishes; {log} has all that it said"
                raise ApETError("lmms-eval", f"a failed `{self.as_text()}` ({last})", expected)
        try:
            read = json.loads(written.read_text())
            return [_score(measure, read) for measure in self.measures]
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            why = error.args[0] if isinstance(error, LookupError) else error
            expected = "a file that lmms-eval wrote; delete its folder to run again"
            raise ApETError("lmms-eval", f"{written} ({why})", expected) from error


def _score(measure: Measure, read: Mapping[str, Any]) -> Score:
    numbers = _numbers(read["results"].get(measure.task, {}))
    missing = [name for name in measure.metrics if name not in numbers]
    if missing:
        raise LookupError(f"{measure.task} has no {missing[0]} but {', '.join(numbers) or 'no number'}")
    counted = read.get("n-samples", {}).get(measure.task, {}).get("effective", 0)
    total = sum(numbers[name] for name in measure.metrics)
    return Score(measure.task, measure.metric, total, int(counted))


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


_ERROR = re.compile(r"[\w.]+(Error|Exception|Interrupt)\b.*")
"""The last line of a traceback."""


def run_command(arguments: Sequence[str], log: Path) -> tuple[int, str]:
    """Runs lmms-eval's command in a process of its own, and writes what it says to the log.

    Returns:
        Its exit code, which lmms-eval leaves at 0 also where it fails, and its last error, or its last line.
    """
    import torch

    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("")
    # Small models take less time than imports, which a fork server does once; beside a GPU no fork is safe.
    forks = sys.platform == "linux" and not torch.cuda.is_available()
    context: Any = multiprocessing.get_context("forkserver" if forks else "spawn")
    if forks:
        context.set_forkserver_preload(["lmms_eval.__main__", "lmms_eval.evaluator", "apet.app.lmms.model"])
    process = context.Process(target=_main, args=(list(arguments), str(log)))
    process.start()
    process.join()
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    raised = [line for line in lines if _ERROR.match(line)]
    return process.exitcode or 0, (raised or lines or ["no output"])[-1]


def _main(arguments: list[str], log: str) -> None:
    """What the process does: ``lmms-eval ARGUMENTS > LOG 2>&1``."""
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.argv = ["lmms-eval", *arguments]
    from lmms_eval.__main__ import cli_evaluate

    cli_evaluate()
