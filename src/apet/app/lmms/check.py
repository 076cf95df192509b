"""What lmms-eval has of the tasks that are asked for, told before the first run."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from apet.app.lmms.benchmarks import Measure
from apet.core.errors import ApETError


def is_installed() -> bool:
    """Whether lmms-eval can be run in this environment."""
    return importlib.util.find_spec("lmms_eval") is not None


@dataclass(frozen=True)
class Found:
    """A task of lmms-eval, asked for by its name or a group's, and the metrics whose sum is its score.

    It has no metrics where there is a problem, and no questions then, or where data was not looked at.
    """

    asked: str
    task: str
    metrics: tuple[str, ...] = ()
    questions: int = 0
    problem: str | None = None

    @property
    def measure(self) -> Measure:
        """The task with its metrics."""
        return Measure(self.task, self.metrics)


def parse_task(spec: str) -> Measure:
    """A task and its metrics, if any: ``"pope"``, ``"pope:pope_f1_score"``, ``"task:metric+metric"``."""
    task, colon, metrics = spec.partition(":")
    named = tuple(metrics.split("+")) if colon else ()
    if not task or not all(named) or (colon and not named):
        raise ApETError("eval --tasks", repr(spec), "TASK, TASK:METRIC, or TASK:METRIC+METRIC for their sum")
    return Measure(task, named)


def look_up(asked: Sequence[Measure], limit: int | None) -> list[Found]:
    """Asks lmms-eval about tasks: whether they exist, have data, and a number.

    Returns:
        A line for each task; of a group one for each of its tasks.
    """
    with tempfile.TemporaryDirectory() as folder:
        request, answer = Path(folder, "asked.json"), Path(folder, "found.json")
        tasks = [(measure.task, measure.metrics) for measure in asked]
        request.write_text(json.dumps({"tasks": tasks, "limit": limit}))
        command = [sys.executable, "-m", "apet.app.lmms.inspector", str(request), str(answer)]
        process = subprocess.run(command, capture_output=True, text=True, check=False)
        if not answer.exists():
            lines = [line for line in (process.stdout + process.stderr).splitlines() if line.strip()]
            last = lines[-1].strip() if lines else f"exit code {process.returncode}"
            raise ApETError("lmms-eval", f"an installation that does not run ({last})", "lmms-eval 0.7.3")
        lines = json.loads(answer.read_text())
    return [Found(**{**line, "metrics": tuple(line.get("metrics", ()))}) for line in lines]
