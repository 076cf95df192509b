"""What the sets of hooks have in common."""

from __future__ import annotations

from typing import Any, NoReturn

from apet.core.errors import ApETError
from apet.hf.cache.record import Lease
from apet.methods import Method

__all__ = ["Stage"]


class Stage:
    """Hooks of one part of one model.

    Args:
        method: The method that is applied.
        lease: The compression that the hooks belong to.
    """

    def __init__(self, method: Method, lease: Lease) -> None:
        self.method = method
        self.lease = lease

    def __deepcopy__(self, memo: dict[int, Any]) -> NoReturn:
        # A copied model would share replaced methods with the first one and run its weights.
        raise ApETError("deepcopy", "a model under compression", "apet.remove(model) before copying it")
