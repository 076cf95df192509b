"""One look at the values of many tensors, where each look would wait for the device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

import torch
from torch import Tensor

from apet.core.errors import not_finite

Reading = Literal["look", "ordinary", "finite"]
"""What is known about tokens that are read: ``"look"`` nothing, ``"ordinary"`` that they are finite and their
largest norm lies between `SMALL` and `LARGE`, ``"finite"`` that they are finite."""

SMALL, LARGE = 2.0**-40, 2.0**50
"""Inside these bounds of an image's largest norm no square that matters over- or underflows in float32."""

_READING: ContextVar[Reading] = ContextVar("reading", default="look")


def how_to_read() -> Reading:
    """What the caller knows about the tokens."""
    return _READING.get()


@contextmanager
def reading(how: Reading) -> Iterator[None]:
    """Says what is known about all tokens that are read inside, which then need no look of their own.

    The result has the same bits whatever is said, as long as it is true.
    """
    token = _READING.set(how)
    try:
        yield
    finally:
        _READING.reset(token)


@torch.no_grad()
def look_once(segments: Sequence[Tensor], operation: str, what: str = "segment") -> Reading:
    """Looks at all tensors, waiting for the device once: for `reading`, around decisions on them.

    On a CPU a look costs nothing, so there each decision looks for itself. Where a value is huge the device
    is waited for once more.

    Args:
        segments: Tensors ``(n, d)`` of a float dtype and of one device, none of them empty; or batches ``(B,
            n, d)`` of them, whose members are counted one after another.
        operation: What to name in errors.
        what: What one of them is, in errors.

    Returns:
        What is known about them now.

    Raises:
        ApETError: If a value is NaN, infinite, or infinite in float32; it names the first such segment.
    """
    if not segments or segments[0].device.type == "cpu" or _READING.get() != "look":
        return _READING.get()
    narrow = [x.detach().to(torch.float32) if x.dtype == torch.float64 else x.detach() for x in segments]
    sizes = _read([torch.linalg.vector_norm(x, dim=(-2, -1), dtype=torch.float32) for x in narrow])
    # The largest norm is at most the norm of all, and at least what that is when all norms are equal.
    shapes = [x.shape[-2:] for x in segments for _ in range(x.shape[:-2].numel())]
    if all(SMALL * n**0.5 < size < LARGE for size, (n, _) in zip(sizes, shapes, strict=True)):
        return "ordinary"
    if not all(size < LARGE for size in sizes):
        finite = _read([torch.isfinite(x).flatten(-2).all(-1) for x in narrow])
        for number, (fine, shape) in enumerate(zip(finite, shapes, strict=True)):
            if not fine:
                raise not_finite(operation, tuple(shape), number, what)
    return "finite"


def _read(values: Sequence[Tensor]) -> list[float]:
    """One value per segment, on the host."""
    return [float(value) for value in torch.cat([own.reshape(-1) for own in values]).tolist()]
