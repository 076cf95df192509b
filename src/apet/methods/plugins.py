"""Methods that other installed packages bring."""

from __future__ import annotations

from collections.abc import Container
from importlib.metadata import EntryPoint, entry_points

from apet.core.errors import ApETError
from apet.methods.base import Method

__all__ = ["GROUP", "plugged_in"]

GROUP = "apet.methods"
"""The group of entry points: the name of a method, and where its class is."""


def plugged_in(taken: Container[str]) -> dict[str, type[Method]]:
    """The methods of other packages by name, sorted.

    They are imported with this package, so that every place that lists methods lists them.

    Args:
        taken: Names that are in use.

    Raises:
        ApETError: If a name is in use, or what stands behind it is no method or cannot be imported. It names
            the package: it has to be mended or uninstalled.
    """
    found: dict[str, type[Method]] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        if entry.name in taken or entry.name in found:
            raise _refused(entry, "a name that is in use", "a name of its own")
        try:
            kind = entry.load()
        except Exception as error:
            raise _refused(
                entry, f"{type(error).__name__}: {error}", "a class that can be imported"
            ) from error
        if not (isinstance(kind, type) and issubclass(kind, Method)):
            raise _refused(entry, entry.value, "a class that derives from apet.methods.Method")
        found[entry.name] = kind
    return found


def _refused(entry: EntryPoint, got: str, expected: str) -> ApETError:
    package = "a package" if entry.dist is None else entry.dist.name
    return ApETError(f"{GROUP}, {entry.name!r} of {package}", got, expected)
