"""The three steps on a device, from flat tokens to a decision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from apet.core.errors import ApETError
from apet.kernels.assign import assign_slots
from apet.kernels.farthest import pick_farthest
from apet.kernels.launch import Tiles, on_device
from apet.kernels.mean import segment_means
from apet.kernels.norms import measure
from apet.kernels.ranks import keep_top
from apet.kernels.residual import residual_errors
from apet.kernels.segments import Segments
from apet.kernels.span import orthonormal_span

__all__ = ["Decision", "decide", "means"]

_INFINITY = 0x7F800000


@dataclass(frozen=True, eq=False)
class Decision:
    """A decision about every segment, flat.

    Attributes:
        basis: ``(S, M)`` int64, numbers in the segment, valid up to the segment's count.
        errors: ``(T,)`` float32, in the unit of the tokens.
        indices: ``(K,)`` int64, numbers in the segment.
        assignment: ``(T,)`` int64, slots in the segment.
    """

    basis: Tensor
    errors: Tensor
    indices: Tensor
    assignment: Tensor


def decide(
    x: Tensor,
    segments: Segments,
    start: Tensor | None,
    ridge: float,
    refuse: Callable[[int], ApETError] | None,
) -> Decision:
    """Decides which tokens of every segment stay, and where the others go.

    The tokens are read M + 1 times, and as often as their product with the kept ones needs. Nothing waits for
    the device unless ``refuse`` is given.

    Args:
        x: Tokens ``(T, d)``, float16, bfloat16 or float32.
        segments: The segments.
        start: First basis token of every segment, ``(S,)`` int64, or None.
        ridge: Ridge in squared units of the tokens.
        refuse: Makes the error for the number of the first segment with a value that is not finite. None: do
            not look.

    Raises:
        ApETError: If a value is not finite.
    """
    x = x.detach().contiguous()
    tiles = Tiles().fit(x.shape[1])
    with on_device(x):
        found = measure(x, segments, start, tiles)
        if refuse is not None:
            infinite = found.largest >= _INFINITY
            if bool(infinite.any()):
                raise refuse(int(infinite.nonzero()[0]))
        pick_farthest(x, segments, found, tiles)
        span, basis = orthonormal_span(x, segments, found, ridge, tiles)
        errors, scores = residual_errors(x, segments, found, span, tiles)
        kept = keep_top(scores, segments, tiles)
        return Decision(basis, errors, kept.indices, assign_slots(x, segments, found, kept, tiles))


def means(x: Tensor, assignment: Tensor, segments: Segments) -> Tensor:
    """Averages rows ``(T, w)`` that go to the same slot; ``(K, w)`` in the dtype of ``x``."""
    x = x.contiguous()
    with on_device(x):
        return segment_means(x, assignment.contiguous(), segments, Tiles().fit(x.shape[1]))
