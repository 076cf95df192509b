"""What the floors above offer to the core: implementations that it uses without knowing them.

The core computes everything itself. Whoever has another implementation of a part of it offers that here, by
a function that is called when it is first wanted; so the core imports nothing from above. Standard library
only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["offer", "offered"]

_OFFERS: dict[str, Callable[[], Any]] = {}


def offer(part: str, load: Callable[[], Any]) -> None:
    """Offers an implementation of a part; the last offer stands.

    Args:
        part: What it implements.
        load: Imports and returns it; called at every use, so it should be quick from the second time on.
    """
    _OFFERS[part] = load


def offered(part: str) -> Callable[[], Any] | None:
    """Tells how to get what is offered for a part; None if nothing is."""
    return _OFFERS.get(part)
