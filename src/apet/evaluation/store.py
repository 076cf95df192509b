"""Finished answers on disk: a file that only grows, so that a killed run loses at most its running batch."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from apet.core.errors import ApETError
from apet.evaluation.asking import BANDS
from apet.evaluation.tasks import Case
from apet.hf.results import Schedule

FIGURES = {"select", "first", "total"}
"""What is told of a timed question."""


class Store:
    """An append-only file of JSON lines, each a finished piece of work with the keys of what it belongs to.

    A line is written whole and forced to the disk before the next piece begins. A last line without its end,
    left by a killed process, is cut off when the file is opened again; any other damage is an error.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b")
            self.lines = list(self._read())
        except OSError as error:
            raise ApETError("eval --output", f"{path} ({error.strerror})", "a writable folder") from error

    def _read(self) -> Iterator[dict[str, Any]]:
        self._file.seek(0)
        end = 0
        for number, line in enumerate(self._file, 1):
            if not line.endswith(b"\n"):
                self._file.truncate(end)
                return
            end += len(line)
            try:
                read = json.loads(line)
            except ValueError as error:
                expected = "a file that `apet eval` wrote; delete it to start anew"
                raise ApETError("eval --output", f"{self.path}, line {number} ({error})", expected) from error
            yield read

    def add(self, line: dict[str, Any]) -> None:
        """Appends a finished piece of work, and returns once it is on the disk."""
        self._file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.lines.append(line)

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


class Records:
    """The finished work of a store's lines, to look up."""

    def __init__(self, lines: Iterable[dict[str, Any]]) -> None:
        self._answers: dict[str, dict[str, tuple[str, ...]]] = defaultdict(dict)
        self._schedules: dict[str, dict[str, Schedule]] = defaultdict(dict)
        self._times: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
        self._bands: dict[str, list[tuple[int, dict[str, list[float]]]]] = defaultdict(list)
        for line in lines:
            self.read(line)

    def read(self, line: dict[str, Any]) -> None:
        """Takes in one line."""
        key = line["run"]
        if line["kind"] == "time":
            self._times[key][line["case"]] = line
            return
        for case, answers in line["answers"].items():
            self._answers[key][case] = tuple(answers)
        for case, schedule in line["schedules"].items():
            self._schedules[key][case] = tuple((int(first), int(tokens)) for first, tokens in schedule)
        if line["bands"] is not None:
            self._bands[key].append((line["pictures"], line["bands"]))

    def has(self, key: str, case: Case) -> bool:
        """Whether a case is answered under a configuration."""
        return case.key in self._answers[key]

    def is_timed(self, key: str, case: Case) -> bool:
        """Whether it was timed under it."""
        return self._times[key].get(case.key, {}).keys() >= FIGURES

    def answers(self, key: str, cases: Sequence[Case]) -> list[tuple[str, ...]]:
        """The answers to cases, in order."""
        return [self._answers[key][case.key] for case in cases]

    def schedules(self, key: str, cases: Sequence[Case]) -> list[Schedule]:
        """Visual tokens per layer for each case, in order."""
        return [self._schedules[key][case.key] for case in cases]

    def times(self, key: str, cases: Sequence[Case]) -> list[dict[str, Any]]:
        """Timings of those of the cases that were timed: ``select``, ``first``, ``total`` in seconds."""
        return [self._times[key][case.key] for case in cases if self.is_timed(key, case)]

    def bands(self, key: str) -> dict[str, list[float]] | None:
        """Kept share and score by band of the sequence, over all pictures; None if none was measured."""
        parts = self._bands[key]
        if not parts:
            return None
        weights = [weight for weight, _ in parts]
        return {
            name: np.average([part[name] for _, part in parts], axis=0, weights=weights).tolist()
            for name in ("kept", "score")
            if len(parts[0][1][name]) == BANDS
        }
