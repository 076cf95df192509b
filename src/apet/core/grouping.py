"""Segments that can run side by side."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from torch import Tensor

# Segments of a group are copied side by side; more than this at once would only cost memory.
_CPU_BYTES, _OTHER_BYTES = 1 << 22, 1 << 28


def group_segments(
    segments: Sequence[Tensor], kept: Sequence[int], kinds: Sequence[Hashable] = ()
) -> list[list[int]]:
    """Groups segments that can share a dense batch: those of the same length and the same kept count.

    Args:
        segments: Tensors ``(n_i, d)`` of one width, dtype and device.
        kept: Tokens to keep of each.
        kinds: What else has to be equal; empty for nothing.

    Returns:
        Segment numbers per batch, ascending in each, batches of bounded size.
    """
    groups: dict[Hashable, list[int]] = {}
    for number, (segment, count) in enumerate(zip(segments, kept, strict=True)):
        groups.setdefault((len(segment), count, *kinds[number : number + 1]), []).append(number)
    batches = []
    for numbers in groups.values():
        first = segments[numbers[0]]
        limit = _CPU_BYTES if first.device.type == "cpu" else _OTHER_BYTES
        size = max(1, limit // (first.numel() * first.element_size()))
        batches += [numbers[at : at + size] for at in range(0, len(numbers), size)]
    return batches
