"""What the core calls: dense batches, lists of segments, and means, as it would compute them itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from apet.core.dispatch import Decided
from apet.core.errors import ApETError, not_finite
from apet.kernels.assign import assign_slots
from apet.kernels.farthest import pick_farthest
from apet.kernels.launch import Tiles, on_device
from apet.kernels.mean import slot_means
from apet.kernels.residual import residual_errors
from apet.kernels.segments import Segments
from apet.kernels.span import orthonormal_span

_INFINITY = 0x7F800000


def select_dense(
    x: Tensor,
    kept: int,
    count: int,
    start: Tensor | None,
    ridge: float,
    check_finite: bool,
) -> Decided:
    """Decides on a batch ``(B, N, d)``; see `apet.core.select`."""
    batch, total, width = x.shape
    segments = Segments.dense(batch, total, kept, count, x.device)

    def refuse(image: int) -> ApETError:
        return not_finite("compress", tuple(x.shape), image)

    indices, slots, errors, basis = _decide(
        x.reshape(batch * total, width), segments, start, ridge, refuse if check_finite else None
    )
    return indices, slots.view(batch, total), errors.view(batch, total), basis


def select_ragged(
    parts: Sequence[Tensor],
    kept: Sequence[int],
    counts: Sequence[int],
    start: Tensor | None,
    ridge: float,
    check_finite: bool,
    merge: bool,
) -> tuple[list[Decided], list[Tensor]]:
    """Decides on segments ``(n_i, d)`` in one launch per step, however their lengths differ.

    Returns:
        A decision for each, and what became of its tokens (without gradients).
    """
    lengths = [len(part) for part in parts]
    x = torch.cat([part.detach() for part in parts])
    segments = Segments.ragged(lengths, kept, counts, x.device)

    def refuse(number: int) -> ApETError:
        error = not_finite("compress", (1, *parts[number].shape), 0)
        return ApETError("compress", f"{error.got} (segment {number})", error.expected)

    indices, slots, errors, basis = _decide(x, segments, start, ridge, refuse if check_finite else None)
    decided = [
        (indices[i, : kept[i]], slot, error, basis[i, : counts[i]])
        for i, (slot, error) in enumerate(zip(slots.split(lengths), errors.split(lengths), strict=True))
    ]
    if merge:
        most = indices.shape[1]
        rows = _means(x, slots + most * segments.owners(), len(parts) * most).view(len(parts), most, -1)
        tokens = [own[:number] for own, number in zip(rows, kept, strict=True)]
    else:
        tokens = [
            part.detach().index_select(0, decision[0]) for part, decision in zip(parts, decided, strict=True)
        ]
    return decided, tokens


def mean_rows(x: Tensor, assignment: Tensor, kept: int) -> Tensor:
    """Averages the rows of ``x (B, N, w)`` that go to the same slot; ``(B, kept, w)``."""
    batch, total, width = x.shape
    slots = assignment
    if batch > 1:
        slots = slots + torch.arange(0, batch * kept, kept, device=x.device).unsqueeze(1)
    return _means(x.reshape(batch * total, width), slots.flatten(), batch * kept).view(batch, kept, width)


def _decide(
    x: Tensor,
    segments: Segments,
    start: Tensor | None,
    ridge: float,
    refuse: Callable[[int], ApETError] | None,
) -> Decided:
    """Decides which tokens ``(T, d)`` of every segment stay, and where the others go.

    Nothing waits for the device unless ``refuse`` is given, which makes the error for the number of the first
    segment with a value that is not finite.

    Returns:
        Indices ``(S, K)``, valid up to a segment's own count; assignment ``(T,)``; errors ``(T,)``; and the
        basis, ``(S, M)``, valid likewise. Numbers are those in the segment.
    """
    x = x.detach().contiguous()
    tiles = Tiles().fit(x.shape[1])
    with on_device(x):
        points = pick_farthest(x, segments, start, tiles)
        if refuse is not None:
            infinite = points.largest >= _INFINITY
            if bool(infinite.any()):
                raise refuse(int(infinite.nonzero()[0]))
        span, basis = orthonormal_span(x, segments, points, ridge, tiles)
        errors, scores = residual_errors(x, segments, points, span, tiles)
        top = scores.sort(dim=1, descending=True, stable=True).indices[:, : max(segments.keeps)]
        if len(set(segments.keeps)) > 1:  # what a segment does not keep goes behind what it keeps
            beyond = torch.arange(top.shape[1], device=x.device) >= segments.kept.unsqueeze(1)
            top = top.masked_fill(beyond, scores.shape[1])
        indices = top.sort(dim=1).values
        return indices, assign_slots(x, segments, points, indices, tiles), errors, basis


def _means(x: Tensor, slots: Tensor, kept: int) -> Tensor:
    """Averages rows ``(T, w)`` that go to the same slot; ``(K, w)`` in the dtype of ``x``."""
    x = x.contiguous()
    with on_device(x):
        return slot_means(x, slots, kept, Tiles().fit(x.shape[1]))
