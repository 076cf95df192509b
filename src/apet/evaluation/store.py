"""Finished answers on disk: a file that only grows, so that a killed run loses at most its running batch."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from apet.core.errors import ApETError


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
