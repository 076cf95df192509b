"""Leaving compiled code: a prefill with images runs as Python, decode stays compiled.

What is kept of an image is known only once it is looked at, and the hooks keep the state of a call in context
variables: neither can be traced. So the hooks' entry breaks the graph where images come in, and within it
everything that somebody compiled (the language model, its layers, an encoder) runs as if it was not.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

_REASON = (
    "apet: a prefill with images cannot be compiled in one graph, since the number of tokens changes within. "
    "Compile without fullgraph=True: the prefill then runs eagerly, and decode stays compiled"
)
_lock = threading.Lock()
_inside: list[Any] = []


@contextmanager
def _eagerly() -> Iterator[None]:
    """Let no compiled function run as such; torch keeps that for the process, so the last one out ends it."""
    with _lock:
        stance = torch.compiler.set_stance("force_eager") if not _inside else None
        _inside.append(stance)
    try:
        yield
    finally:
        with _lock:
            first = _inside[0]
            _inside.pop()
            if not _inside:
                first.__exit__(None, None, None)


def outside_compiled_code(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, called as Python from wherever it is called."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        with _eagerly():
            return function(*args, **kwargs)

    options = {"reason": _REASON} if "reason" in inspect.signature(torch.compiler.disable).parameters else {}
    disabled: Callable[..., Any] = torch.compiler.disable(run, **options)
    return disabled
