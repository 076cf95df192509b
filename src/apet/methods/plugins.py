"""Methods that other installed packages bring."""

from __future__ import annotations

import warnings
from collections.abc import Container
from importlib.metadata import EntryPoint, entry_points

from apet.core.errors import ApETError
from apet.methods.base import Method

GROUP = "apet.methods"
"""The group of entry points: the name of a method, and where its class is."""


def plugged_in(taken: Container[str]) -> dict[str, type[Method]]:
    """The methods of other packages by name, sorted.

    They are imported with this package, so that every place that lists methods lists them.

    Args:
        taken: Names that are in use.

    One whose name is in use, or that is no method or cannot be imported, is left out with a warning that
    names the package: somebody else's fault keeps nobody from using this library.
    """
    found: dict[str, type[Method]] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        if entry.name in taken or entry.name in found:
            _warn(entry, "a name that is in use", "a name of its own")
            continue
        try:
            kind = entry.load()
        except (Exception, SystemExit) as error:  # noqa: BLE001 (whatever another package does at import)
            _warn(entry, f"{type(error).__name__}: {error}", "a class that can be imported")
            continue
        if not (isinstance(kind, type) and issubclass(kind, Method)):
            _warn(entry, entry.value, "a class that derives from apet.methods.Method")
            continue
        found[entry.name] = kind
    return found


def _warn(entry: EntryPoint, got: str, expected: str) -> None:
    package = "a package" if entry.dist is None else entry.dist.name
    told = ApETError(f"{GROUP}, {entry.name!r} of {package}", got, expected)
    warnings.warn(f"left out: {told}", RuntimeWarning, stacklevel=2)
