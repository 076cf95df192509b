"""Which implementation runs: this core, or kernels that compute the same on a GPU.

The core does not know the kernels: they are offered to it, see `apet.implementations`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from typing import Protocol

import torch
from torch import Tensor

from apet.core.errors import ApETError
from apet.implementations import offered

VARIABLE = "APET_KERNELS"
"""Environment variable: ``auto`` (also if it is empty or not set), ``off`` or ``on``; read
at every call."""

DTYPES = (torch.float16, torch.bfloat16, torch.float32)
MOST_BASIS = 64
SHOWN = (9, 0)
"""Compute capability of the GPUs that have shown the kernels to agree with the core and to be faster."""
_LEAST = (8, 0)
_MOST_SEGMENTS = 65535  # what a CUDA grid holds along its second axis


Decided = tuple[Tensor, Tensor, Tensor, Tensor]
"""Indices, assignment, errors and basis, as in `apet.core.Selection`, which stands above this module."""


class Kernels(Protocol):
    """What kernels have to offer; they decide as the core does."""

    def select_dense(
        self,
        x: Tensor,
        kept: int,
        count: int,
        start: Tensor | None,
        ridge: float,
        check_finite: bool,
    ) -> Decided:
        """Decides on a batch ``(B, N, d)``, with ``count`` basis tokens of each image."""
        ...

    def select_ragged(
        self,
        parts: Sequence[Tensor],
        kept: Sequence[int],
        counts: Sequence[int],
        start: Tensor | None,
        ridge: float,
        check_finite: bool,
        merge: bool,
    ) -> tuple[list[Decided], list[Tensor]]:
        """Decides on segments ``(n_i, d)``; a decision for each, and its tokens without gradients."""
        ...

    def mean_rows(self, x: Tensor, assignment: Tensor, kept: int) -> Tensor:
        """Averages the rows of ``(B, N, w)`` that go to the same slot."""
        ...


def kernels_for(
    x: Tensor, segments: int, operation: str, basis: str = "fps", count: int = 1
) -> Kernels | None:
    """The kernels, if they are to compute; None for the core.

    ``auto`` takes them on NVIDIA GPUs of compute capability 9.0 (H100, H200), which have shown them, where
    Triton is installed, for 16- and 32-bit floats and farthest point sampling of up to 64 basis tokens;
    anything else is the core's, as is what `torch.compile` traces. ``on`` takes them from compute capability
    8.0, or fails. An error inside a kernel is raised, never answered by the other implementation.

    Args:
        x: The tokens.
        segments: Segments in the call.
        operation: What to name in errors.
        basis: How basis tokens are picked.
        count: Basis tokens.

    Raises:
        ApETError: If the variable has another value, or is ``on`` and the kernels cannot compute this.
    """
    mode = os.environ.get(VARIABLE) or "auto"
    if mode == "off" or (mode == "auto" and (x.device.type != "cuda" or torch.compiler.is_compiling())):
        return None
    if mode not in ("auto", "on"):
        raise ApETError(operation, f"{VARIABLE}={mode}", "off, auto or on")
    load = offered("kernels")
    reason = "no kernels" if load is None else _why_not(x, segments, basis, count, mode, x.device.type)
    if load is not None and reason is None:
        kernels: Kernels = load()
        return kernels
    if mode == "on":
        raise ApETError(operation, f"{VARIABLE}=on with {reason}", "what the kernels cover, or auto")
    return None


def _why_not(x: Tensor, segments: int, basis: str, count: int, mode: str, kind: str) -> str | None:
    """Why the kernels cannot compute something on a kind of device; None if they can."""
    gpu = kind == "cuda"
    capability = _capability(x.device.index or 0) if gpu else SHOWN
    reasons = {
        "no triton installed": not _installed(),
        f"tokens on {x.device}": not gpu and not interpreted(),
        "a GPU other than NVIDIA's of compute capability 8.0 or later": capability < _LEAST,
        "a GPU that has not shown them": mode == "auto" and capability != SHOWN,
        f"tokens of dtype {x.dtype}": x.dtype not in DTYPES,
        f"basis={basis!r}": basis != "fps",
        f"basis_size={count}": count > MOST_BASIS,
        f"{segments} segments": segments > _MOST_SEGMENTS,
    }
    return next((reason for reason, applies in reasons.items() if applies), None)


@cache
def _installed() -> bool:
    return find_spec("triton") is not None


@cache
def _capability(index: int) -> tuple[int, int]:
    return torch.cuda.get_device_capability(index) if torch.version.cuda is not None else (0, 0)


def interpreted() -> bool:
    """Whether Triton runs kernels on the CPU, step by step; for tests."""
    return os.environ.get("TRITON_INTERPRET") == "1"
