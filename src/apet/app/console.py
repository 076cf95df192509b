"""What commands say while they work: a spinner on a terminal, nothing in a pipe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.text import Text

__all__ = ["load_with_spinner", "progress"]


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
        from transformers.utils import logging

        from apet.app.loading import load_model

        if quiet or not console.is_terminal:
            logging.disable_progress_bar()
        return load_model(name, trust_remote_code=trust_remote_code)
