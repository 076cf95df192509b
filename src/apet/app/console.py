"""Where commands write, and what they say while they work: a spinner on a terminal, nothing in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.text import Text

__all__ = ["load_with_spinner", "output", "progress"]


_NO_EDGE = 100_000
"""Columns of a pipe: as many as it takes."""


def output() -> Console:
    """Standard output: as wide as the terminal, and in a pipe as wide as what is written: nothing is cut."""
    return Console(width=None if sys.stdout.isatty() else _NO_EDGE)


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
    """Loads a model and its processor; arguments and errors of `apet.app.loading.load_model`.

    Args:
        name: Model id or folder; the embedded model if None.
        console: Where the spinner turns.
        quiet: Whether to hide transformers' own bars also on a terminal.
        trust_remote_code: Let the repository's own code run.
    """
    with progress(console, f"Loading {name or 'the embedded model'}"):
        from apet.app.loading import load_model

        if quiet:
            from transformers.utils import logging

            logging.disable_progress_bar()
        return load_model(name, trust_remote_code=trust_remote_code)
