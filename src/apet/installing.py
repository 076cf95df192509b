"""How apet and its extras are installed, decided in one place for every message and page."""

from __future__ import annotations

__all__ = ["RELEASED", "install"]

RELEASED = False
"""Whether a release is on the package index. Until then a clone is installed."""


def install(extra: str) -> str:
    """The command that brings what an extra of pyproject.toml needs.

    >>> install("web")
    "pip install -e '.[web]'"
    """
    return f"pip install 'apet[{extra}]'" if RELEASED else f"pip install -e '.[{extra}]'"
