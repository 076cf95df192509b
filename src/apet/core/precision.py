"""Which arithmetic to use where, whatever the surroundings ask for.

Every public function that computes is `unaffected`, and so is whatever a method defines (its base class sees
to that): a decision has the same bits under every precision of products, in autocast and under a default
device. The default dtype cannot be changed for one thread, so code names the dtype of what it makes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from functools import wraps
from itertools import chain
from threading import Lock
from typing import Any, ParamSpec, TypeVar

import torch

_P = ParamSpec("_P")
_R = TypeVar("_R")


def wide_dtype(device: torch.device) -> torch.dtype:
    """Float64, or float32 on devices that have nothing wider."""
    return torch.float32 if device.type == "mps" else torch.float64


class _Products:
    """The precision of float32 products of one backend, held full while calls need it.

    Torch has one setting for the whole process, none for a call or a thread. So it is changed only where it
    is lower, and calls are counted: of those that overlap, in whatever threads, the last one puts back what
    the first one found, or what somebody has lowered it to meanwhile. Other threads' products are exact so
    long.

    Args:
        setting: Has the setting as ``fp32_precision``.
        full: The value that asks for float32.
        unset: The value that leaves it to the setting one above, or None where there is none.
    """

    def __init__(self, setting: Any, full: str, unset: str | None) -> None:
        self._setting, self._full, self._unset = setting, full, unset
        self._lock, self._calls, self._found = Lock(), 0, full

    def _is_full(self) -> bool:
        return self._setting.fp32_precision in (self._full, self._unset)

    def enter(self) -> bool:
        """Makes products exact; tells whether `leave` is to be called, that is, whether they were not."""
        with self._lock:
            if not self._is_full():
                self._found = self._setting.fp32_precision
                self._setting.fp32_precision = self._full
            elif not self._calls:
                return False
            self._calls += 1
            return True

    def leave(self) -> None:
        """Ends a call."""
        with self._lock:
            self._calls -= 1
            if self._calls or not self._is_full():
                return
            # What was inherited is inherited again.
            if self._unset is not None:
                self._setting.fp32_precision = self._unset
            if self._setting.fp32_precision != self._found:
                self._setting.fp32_precision = self._found


class _BeforeTorch29:
    """The older setting, of all backends at once; the newer ones must not be mixed with it."""

    @property
    def fp32_precision(self) -> str:
        return torch.get_float32_matmul_precision()

    @fp32_precision.setter
    def fp32_precision(self, value: str) -> None:
        torch.set_float32_matmul_precision(value)


_BACKENDS: Any = torch.backends
if hasattr(_BACKENDS.cuda.matmul, "fp32_precision"):
    _PRODUCTS = {
        "cpu": _Products(_BACKENDS.mkldnn.matmul, "ieee", "none"),
        "cuda": _Products(_BACKENDS.cuda.matmul, "ieee", "none"),
    }
else:
    _PRODUCTS = dict.fromkeys(("cpu", "cuda"), _Products(_BeforeTorch29(), "highest", None))

_INSIDE: ContextVar[str | None] = ContextVar("inside", default=None)
"""Device type of the call that this one is part of."""


@contextmanager
def plain_arithmetic(device: torch.device) -> Iterator[None]:
    """Computes as if nothing were set: full float32 products, no autocast, no default device.

    Args:
        device: Where the tokens are.
    """
    kind = device.type
    inside = _INSIDE.set(kind)
    products = _PRODUCTS.get(kind)
    lowered = products is not None and products.enter()
    try:
        with ExitStack() as stack:
            for place in {"cpu", kind}:
                if _in_autocast(place):
                    stack.enter_context(torch.autocast(place, enabled=False))
            if torch.empty(0).device.type != "cpu":  # what torch.get_default_device() says, in less time
                stack.enter_context(torch.device("cpu"))
            yield
    finally:
        if products is not None and lowered:
            products.leave()
        _INSIDE.reset(inside)


def unaffected(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Decorates a function of tensors, or of a list of them, so that it computes in `plain_arithmetic`."""

    @wraps(function)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        for value in chain(args, kwargs.values()):
            first = value[0] if isinstance(value, (list, tuple)) and value else value
            if isinstance(first, torch.Tensor):
                if _INSIDE.get() == first.device.type and not _in_autocast(first.device.type):
                    break  # a part of a call that is unaffected
                with plain_arithmetic(first.device):
                    return function(*args, **kwargs)
        return function(*args, **kwargs)

    return run


def _in_autocast(kind: str) -> bool:
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
