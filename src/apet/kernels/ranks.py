"""Ranks inside segments, by counting.

A token's rank is the number of tokens ahead of it. Counting compares all pairs, which needs no memory and is
cheap beside reading the tokens while segments have some ten thousand of them; equal keys go by index.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from apet.kernels.device import extent, program_rows
from apet.kernels.launch import OPTIONS, Tiles, grid
from apet.kernels.segments import Segments

__all__ = ["Kept", "group_rows", "keep_top"]


class Kept:
    """The kept tokens.

    Attributes:
        indices: Their numbers in their segments, ascending in each, ``(K,)`` int64.
        slots: For every token its slot in its segment, -1 where it is dropped, ``(T,)`` int32.
    """

    def __init__(self, segments: Segments, device: torch.device) -> None:
        self.indices = torch.empty(segments.kept, dtype=torch.int64, device=device)
        self.slots = torch.empty(segments.rows, dtype=torch.int32, device=device)


def keep_top(scores: Tensor, segments: Segments, tiles: Tiles) -> Kept:
    """Keeps each segment's tokens of largest score, ties by lowest index."""
    rows, columns = tiles.rank
    flags = torch.empty_like(scores)
    _rank[grid(segments, rows)](
        scores,
        segments.offsets,
        segments.kept_offsets,
        flags,
        ORDER=False,
        ROWS=rows,
        COLUMNS=columns,
        **OPTIONS,
    )
    # Every segment keeps as many as it should, so one running sum over all of them counts right in each.
    places = flags.cumsum(0, dtype=torch.int64)
    kept = Kept(segments, scores.device)
    _place[grid(segments, rows)](
        flags, places, segments.offsets, segments.kept_offsets, kept.indices, kept.slots, ROWS=rows, **OPTIONS
    )
    return kept


def group_rows(assignment: Tensor, segments: Segments, tiles: Tiles) -> tuple[Tensor, Tensor]:
    """Orders rows by the slot they go to, ties by index.

    Returns:
        Row numbers ``(T,)`` int64, and for each slot of all segments where its rows begin, ``(K + 1,)``.
    """
    rows, columns = tiles.rank
    keys = torch.empty(segments.rows, dtype=torch.int32, device=assignment.device)
    sizes = torch.zeros(segments.kept + 1, dtype=torch.int32, device=assignment.device)
    _count[grid(segments, rows)](
        assignment, segments.offsets, segments.kept_offsets, keys, sizes, ROWS=rows, **OPTIONS
    )
    order = torch.empty(segments.rows, dtype=torch.int64, device=assignment.device)
    _rank[grid(segments, rows)](
        keys,
        segments.offsets,
        segments.kept_offsets,
        order,
        ORDER=True,
        ROWS=rows,
        COLUMNS=columns,
        **OPTIONS,
    )
    return order, sizes.cumsum(0, dtype=torch.int64)


@triton.jit
def _rank(
    keys,
    offsets,
    kept_offsets,
    out,
    ORDER: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    segment, begin, length, local, live, wanted = program_rows(offsets, ROWS)
    if wanted:
        own = tl.load(keys + begin + local, mask=live, other=0)[:, None]
        rank = tl.zeros((ROWS,), dtype=tl.int32)
        for at in range(0, length, COLUMNS):
            number = at + tl.arange(0, COLUMNS)
            # Keys are larger than the filling, and its numbers larger than those of tokens: it is behind all.
            other = tl.load(keys + begin + number, mask=number < length, other=-2147483648)[None, :]
            ahead = (other > own) | ((other == own) & (number[None, :] < local[:, None]))
            rank += tl.sum(ahead.to(tl.int32), axis=1)
        if ORDER:
            tl.store(out + begin + rank, begin + local, mask=live)
        else:
            _, kept = extent(kept_offsets, segment)
            tl.store(out + begin + local, (rank < kept).to(tl.int32), mask=live)


@triton.jit
def _place(flags, places, offsets, kept_offsets, indices, slots, ROWS: tl.constexpr) -> None:
    segment, begin, _, local, live, _ = program_rows(offsets, ROWS)
    flag = tl.load(flags + begin + local, mask=live, other=0) > 0
    place = tl.load(places + begin + local, mask=live, other=1) - 1
    tl.store(indices + place, local.to(tl.int64), mask=live & flag)
    slot = (place - tl.load(kept_offsets + segment)).to(tl.int32)
    tl.store(slots + begin + local, tl.where(flag, slot, -1), mask=live)


@triton.jit
def _count(assignment, offsets, kept_offsets, keys, sizes, ROWS: tl.constexpr) -> None:
    segment, begin, _, local, live, _ = program_rows(offsets, ROWS)
    slot = tl.load(assignment + begin + local, mask=live, other=0)
    tl.store(keys + begin + local, -slot.to(tl.int32), mask=live)
    # One place on, so that the running sum says where a slot begins.
    tl.atomic_add(sizes + tl.load(kept_offsets + segment) + slot + 1, 1, mask=live)
