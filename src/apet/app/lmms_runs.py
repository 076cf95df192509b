"""Runs of lmms-eval: their exact commands, and what they wrote."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apet.core.errors import ApETError
from apet.evaluation.configurations import Configuration, parse_method

__all__ = ["LmmsRun", "Score", "is_installed", "plan_runs"]


def is_installed() -> bool:
    """Whether lmms-eval can be run in this environment."""
    return importlib.util.find_spec("lmms_eval") is not None


@dataclass(frozen=True)
class Score:
    """What lmms-eval counted on one task: its first metric."""

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
        tasks: Names of lmms-eval's tasks.
        limit: Questions per task, or None for all.
        folder: Where runs are written; each has a folder of its own in it.
        trust_remote_code: Let the model's repository run its own code.
    """

    model: str | None
    configuration: Configuration
    tasks: tuple[str, ...]
    limit: int | None
    folder: Path
    trust_remote_code: bool = False

    @property
    def arguments(self) -> list[str]:
        """The command's arguments, without the program and the folder."""
        one = self.configuration
        name, fields = parse_method(one.method)
        given: dict[str, Any] = {"pretrained": self.model or "embedded", "method": name}
        given |= {} if one.keep is None else {"keep": one.keep, "stage2": one.stage2}
        given |= fields if one.seed is None else {**fields, "seed": one.seed}
        given |= {"trust_remote_code": True} if self.trust_remote_code else {}
        joined = ",".join(f"{key}={value}" for key, value in given.items())
        limit = [] if self.limit is None else ["--limit", str(self.limit)]
        return ["--model", "apet", "--model_args", joined, "--tasks", ",".join(self.tasks), *limit]

    @property
    def output(self) -> Path:
        """The run's own folder; another configuration, limit or task never has the same."""
        return self.folder / hashlib.sha256(repr(self.arguments).encode()).hexdigest()[:16]

    def as_text(self) -> str:
        """The command as it is typed."""
        return shlex.join(["lmms-eval", *self.arguments, "--output_path", str(self.output)])

    def scores(self) -> list[Score] | None:
        """What a finished run wrote; None if it has not finished.

        Raises:
            ApETError: If the file cannot be understood.
        """
        written = sorted(self.output.rglob("*results.json"))
        if not written:
            return None
        try:
            read = json.loads(written[-1].read_text())
            return [_score(task, read) for task in self.tasks]
        except (OSError, ValueError, KeyError, StopIteration) as error:
            expected = "a file that lmms-eval wrote; delete its folder to run again"
            raise ApETError("eval", f"{written[-1]} ({error!r})", expected) from error

    def run(self) -> list[Score]:
        """Runs lmms-eval, unless this very run has finished before, and reads what it counted.

        Raises:
            ApETError: If it fails; the message ends with its last line.
        """
        found = self.scores()
        if found is not None:
            return found
        command = [sys.executable, "-m", "lmms_eval", *self.arguments, "--output_path", str(self.output)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = self.scores()
        if done.returncode or found is None:
            lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
            last = lines[-1].strip() if lines else "no output"
            raise ApETError("eval", f"a failed `{self.as_text()}` ({last})", "a run that finishes")
        return found


def _score(task: str, read: dict[str, Any]) -> Score:
    metrics = read["results"][task]
    name, value = next(
        (name, value)
        for name, value in metrics.items()
        if isinstance(value, int | float) and "," in name and "stderr" not in name
    )
    counted = read.get("n-samples", {}).get(task, {}).get("effective", 0)
    return Score(task, name.partition(",")[0], float(value), int(counted))


def plan_runs(
    model: str | None,
    configurations: Sequence[Configuration],
    tasks: Sequence[str],
    limit: int | None,
    folder: Path,
    *,
    trust_remote_code: bool = False,
) -> list[LmmsRun]:
    """One run per configuration."""
    return [LmmsRun(model, one, tuple(tasks), limit, folder, trust_remote_code) for one in configurations]
