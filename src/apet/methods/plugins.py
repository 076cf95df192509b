"""Methods that other installed packages bring."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points

import torch

from apet.core.errors import ApETError
from apet.methods.base import Method

GROUP = "apet.methods"
"""The group of entry points: the name of a method, and where its class is."""


def plugged_in(taken: Iterable[str]) -> dict[str, type[Method]]:
    """The methods of other packages by name, sorted.

    They are imported with this package, so that every place that lists methods lists them.

    Args:
        taken: Names that are in use.

    One whose name is in use or cannot be typed, or that is no method or cannot be imported or made, is left
    out with a warning that names the package: somebody else's fault keeps nobody from using this library.
    """
    methods: dict[str, type[Method]] = {}
    used = {name.lower() for name in taken}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, _package(entry))):
        try:
            methods[entry.name] = _loaded(entry, used)
        except ApETError as error:
            # Without the line of source that Python would show.
            warnings.warn_explicit(f"left out: {error}", RuntimeWarning, "apet.methods", 0)
        used.add(entry.name.lower())
    return methods


def _loaded(entry: EntryPoint, used: set[str]) -> type[Method]:
    """The class of an entry point."""
    operation, dtype = f"{GROUP}, {entry.name!r} of {_package(entry)}", torch.get_default_dtype()
    if not re.fullmatch(r"[A-Za-z0-9][\w.+-]*", entry.name):
        raise ApETError(operation, "that name", "letters, digits and _ . + -")
    if entry.name.lower() in used:
        raise ApETError(operation, "a name that is in use", "a name of its own")
    try:
        kind = entry.load()
        made = kind(0.5) if isinstance(kind, type) and issubclass(kind, Method) else None
    except (Exception, SystemExit) as error:  # whatever another package does
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ApETError(
            operation, reason, "a class that can be imported, and made from a budget alone"
        ) from error
    finally:
        changed = torch.get_default_dtype() != dtype
        torch.set_default_dtype(dtype)
    if changed:
        raise ApETError(operation, "another default dtype of torch at import", "torch as it was")
    if made is None:
        raise ApETError(operation, entry.value, "a class that derives from apet.methods.Method")
    return type(made)


def _package(entry: EntryPoint) -> str:
    return "a package" if entry.dist is None else entry.dist.name
