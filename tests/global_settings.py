"""Whatever torch lets a program set around a call, for tests that none of it changes a decision."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch

__all__ = ["NEW_PRECISION", "SETTINGS", "everything_set", "precision"]

NEW_PRECISION = hasattr(torch.backends.cuda.matmul, "fp32_precision")
"""Whether torch has a precision for each backend (2.9)."""


def _leaves() -> list[Any]:
    backends: Any = torch.backends
    return [backends, backends.cuda.matmul, backends.mkldnn.matmul]


@contextmanager
def precision(*values: str, older: str | None = None) -> Iterator[None]:
    """Sets the precision of products: by the older setting, then of all backends, of CUDA and of the CPU."""
    before = [leaf.fp32_precision for leaf in _leaves()] if NEW_PRECISION else []
    try:
        if older is not None:
            torch.set_float32_matmul_precision(older)
        for leaf, value in zip(_leaves(), values, strict=False):
            leaf.fp32_precision = value
        yield
    finally:
        torch.set_float32_matmul_precision("highest")
        for leaf, value in zip(_leaves(), before, strict=False):
            leaf.fp32_precision = value


@contextmanager
def _undone(change: Callable[[Any], None], to: Any, back: Any) -> Iterator[None]:
    change(to)
    try:
        yield
    finally:
        change(back)


@contextmanager
def _nested_autocast() -> Iterator[None]:
    with (
        torch.autocast("cpu", torch.bfloat16),
        torch.autocast("cpu", enabled=False),
        torch.autocast("cpu", torch.float16),
    ):
        yield


SETTINGS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "products: high": lambda: precision(older="high"),
    "products: medium": lambda: precision(older="medium"),
    "products of all backends: bf16": lambda: precision("bf16"),
    "products of all backends: tf32": lambda: precision("tf32"),
    "products of each backend": lambda: precision("none", "tf32", "bf16"),
    "products by both settings": lambda: precision("tf32", "ieee", "bf16", older="medium"),
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "autocast, nested": _nested_autocast,
    "default dtype: float64": lambda: _undone(torch.set_default_dtype, torch.float64, torch.float32),
    "default dtype: bfloat16": lambda: _undone(torch.set_default_dtype, torch.bfloat16, torch.float32),
    "default device": lambda: _undone(torch.set_default_device, "meta", None),
    "a device around it": lambda: torch.device("meta"),
    "deterministic": lambda: _undone(torch.use_deterministic_algorithms, True, False),
    "deterministic, told": lambda: _undone(torch.set_deterministic_debug_mode, "warn", "default"),
    "inference": torch.inference_mode,
    "gradients": torch.enable_grad,
    "no gradients": torch.no_grad,
}
if not NEW_PRECISION:
    SETTINGS = {name: own for name, own in SETTINGS.items() if not name.startswith("products ")}


def everything_set() -> tuple[Any, ...]:
    """What the settings are now."""
    return (
        [leaf.fp32_precision for leaf in _leaves()]
        if NEW_PRECISION
        else torch.get_float32_matmul_precision(),
        torch.is_autocast_enabled("cpu"),
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.get_deterministic_debug_mode(),
        torch.is_inference_mode_enabled(),
        torch.is_grad_enabled(),
        torch.get_rng_state().tolist(),
    )
