"""What the core calls: dense batches, lists of segments, and means, as it would compute them itself."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from apet.core.dispatch import Decided
from apet.core.errors import ApETError, not_finite
from apet.kernels.decide import decide, means
from apet.kernels.segments import Segments

__all__ = ["mean_rows", "select_dense", "select_ragged"]


def select_dense(
    x: Tensor,
    kept: int,
    count: int,
    start: Tensor | None,
    ridge: float,
    check_finite: bool,
    operation: str,
) -> Decided:
    """Decides on a batch ``(B, N, d)``; see `apet.core.select`."""
    batch, total, width = x.shape
    segments = Segments.dense(batch, total, kept, count, x.device)

    def refuse(image: int) -> ApETError:
        return not_finite(operation, tuple(x.shape), image)

    flat = decide(x.reshape(batch * total, width), segments, start, ridge, refuse if check_finite else None)
    slots, errors = flat.assignment.view(batch, total), flat.errors.view(batch, total)
    return flat.indices.view(batch, kept), slots, errors, flat.basis


def select_ragged(
    parts: Sequence[Tensor],
    kept: Sequence[int],
    counts: Sequence[int],
    start: Tensor | None,
    ridge: float,
    check_finite: bool,
    merge: bool,
    operation: str,
) -> tuple[list[Decided], list[Tensor]]:
    """Decides on segments ``(n_i, d)`` in one launch per step, however their lengths differ.

    Returns:
        A decision for each, and what became of its tokens (without gradients).
    """
    lengths = [len(part) for part in parts]
    x = torch.cat([part.detach() for part in parts])
    segments = Segments.ragged(lengths, kept, counts, x.device)

    def refuse(number: int) -> ApETError:
        error = not_finite(operation, (1, *parts[number].shape), 0)
        return ApETError(operation, f"{error.got} (segment {number})", error.expected)

    flat = decide(x, segments, start, ridge, refuse if check_finite else None)
    indices = flat.indices.split(list(kept))
    if merge:
        tokens = means(x, flat.assignment, segments).split(list(kept))
    else:
        tokens = tuple(part.detach().index_select(0, own) for part, own in zip(parts, indices, strict=True))
    errors, slots = flat.errors.split(lengths), flat.assignment.split(lengths)
    decided = [(indices[i], slots[i], errors[i], flat.basis[i, : counts[i]]) for i in range(len(parts))]
    return decided, list(tokens)


def mean_rows(x: Tensor, assignment: Tensor, kept: int) -> Tensor:
    """Averages the rows of ``x (B, N, w)`` that go to the same slot; ``(B, kept, w)``."""
    batch, total, width = x.shape
    segments = Segments.dense(batch, total, kept, 1, x.device)
    flat = means(x.reshape(batch * total, width), assignment.reshape(-1), segments)
    return flat.view(batch, kept, width)
