"""Where commands write, and what they say while they work: a spinner on a terminal, a line now and then."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from apet.core.words import counted, in_time

_NO_EDGE = 100_000
"""Columns of a pipe: as many as it takes."""
_BETWEEN_LINES = 10.0
"""Seconds from one line about the progress to the next."""


class Lines:
    """Tells progress in lines, so that a log shows that something happens, and how long it will take.

    ``ahead`` says, given how much is done and how much there is, what is to be done before it begins.
    """

    def __init__(self, command: str, ahead: Callable[[int, int], str] | None = None) -> None:
        self.begin = self.said = time.monotonic()
        self.first: int | None = None
        self.command, self.ahead = command, ahead

    def __call__(self, done: int, total: int, what: str = "") -> None:
        """Says how far the work is, if the last line is old enough."""
        now = time.monotonic()
        if self.first is None:
            self.first = done  # what an earlier run had done took no time
            if self.ahead is not None:
                print(self.ahead(done, total), file=sys.stderr, flush=True)
        if done < total and now - self.said < _BETWEEN_LINES:
            return
        self.said = now
        line = f"apet {self.command}: {done:,} of {total:,}"
        if self.first < done < total:
            line += f", about {in_time((now - self.begin) * (total - done) / (done - self.first))} left"
        print(f"{line}{f' ({what})' if what else ''}", file=sys.stderr, flush=True)


def output() -> Console:
    """Standard output: as wide as the terminal, and in a pipe as wide as what is written: nothing is cut."""
    return Console(width=None if sys.stdout.isatty() else _NO_EDGE)


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table on standard output: its first column is whole, the others wrap where they must."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column(head[0], no_wrap=True, min_width=max((len(row[0]) for row in rows), default=0))
    for title in head[1:]:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*row)
    output().print(table)


@contextmanager
def progress(console: Console, words: str) -> Iterator[None]:
    """A spinner on a terminal, nothing in a pipe."""
    if console.is_terminal:
        with console.status(Text(words)):
            yield
    else:
        yield


def load_with_spinner(
    name: str | None, console: Console, *, quiet: bool = False, trust_remote_code: bool = False
) -> tuple[Any, Any]:
    """As `apet.app.loading.load_model`; quiet hides transformers' own bars also on a terminal."""
    with progress(console, f"Loading {name or 'the embedded model'}"):
        from apet.app.loading import load_model

        if quiet:
            from transformers.utils import logging

            logging.disable_progress_bar()
        return load_model(name, trust_remote_code=trust_remote_code)


def hint_if_busy() -> None:
    """Says so if other work takes the cores that are about to be timed."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > cores:
        hint = f"other work is running (load {load:.1f} on {counted(cores, 'core')}): times will be too long"
        print(hint, file=sys.stderr)
