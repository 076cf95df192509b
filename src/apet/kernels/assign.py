"""Where dropped tokens go: the kept token of highest cosine similarity, without a matrix of similarities."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from apet.kernels.device import extent, program_rows, unit_of
from apet.kernels.launch import OPTIONS, Tiles, dot_options, grid
from apet.kernels.norms import Norms
from apet.kernels.ranks import Kept
from apet.kernels.segments import Segments

__all__ = ["assign_slots"]


def assign_slots(x: Tensor, segments: Segments, found: Norms, kept: Kept, tiles: Tiles) -> Tensor:
    """The slot in its segment that every token goes to, ``(T,)`` int64; a kept token has its own.

    A program goes over the kept tokens in blocks and remembers the best of each of its tokens. Tokens of 16
    bits are multiplied as they are, since their products are exact in float32, and divided by the kept
    token's norm afterwards.
    """
    assignment = torch.empty(segments.rows, dtype=torch.int64, device=x.device)
    rows, slots, columns = tiles.assign
    _assign[grid(segments, rows)](
        x,
        segments.offsets,
        segments.kept_offsets,
        found.peaks,
        found.largest,
        found.norms,
        kept.indices,
        kept.slots,
        assignment,
        x.shape[1],
        ROWS=rows,
        SLOTS=slots,
        COLUMNS=columns,
        **(OPTIONS | dot_options(x)),
    )
    return assignment


@triton.jit
def _operand(
    x,
    rows,
    live,
    columns,
    width,
    unit,
    SCALED: tl.constexpr,
    WIDEN: tl.constexpr,
):
    inside = live[:, None] & (columns < width)[None, :]
    tile = tl.load(x + rows[:, None] * width + columns[None, :], mask=inside, other=0.0)
    if SCALED:
        # A power of two: exact in the dtype of the tokens, but for values too small to matter.
        tile = (tile.to(tl.float32) * unit).to(tile.dtype)
    if WIDEN:
        tile = tile.to(tl.float32)
    return tile


@triton.jit
def _products(
    x,
    rows,
    live,
    others,
    there,
    width,
    unit,
    SCALED: tl.constexpr,
    WIDEN: tl.constexpr,
    ROWS: tl.constexpr,
    SLOTS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    dots = tl.zeros((ROWS, SLOTS), dtype=tl.float32)
    for at in range(0, width, COLUMNS):
        columns = at + tl.arange(0, COLUMNS)
        left = _operand(x, rows, live, columns, width, unit, SCALED, WIDEN)
        right = _operand(x, others, there, columns, width, unit, SCALED, WIDEN)
        dots = tl.dot(left, tl.trans(right), dots, input_precision="ieee")
    return dots


@triton.jit
def _assign(
    x,
    offsets,
    kept_offsets,
    peaks,
    largest,
    norms,
    indices,
    slots,
    assignment,
    width,
    ROWS: tl.constexpr,
    SLOTS: tl.constexpr,
    COLUMNS: tl.constexpr,
    WIDEN: tl.constexpr,
) -> None:
    segment, begin, length, local, live, wanted = program_rows(offsets, ROWS)
    first, kept = extent(kept_offsets, segment)
    if wanted:
        best = tl.full((ROWS,), float("-inf"), dtype=tl.float32)
        slot = tl.zeros((ROWS,), dtype=tl.int32)
        # With one slot or nothing dropped there is nothing to compare.
        compared = tl.where((kept > 1) & (kept < length), kept, 0)
        unit = unit_of(peaks, largest, segment)
        for at in range(0, compared, SLOTS):
            number = at + tl.arange(0, SLOTS)
            there = number < kept
            others = begin + tl.load(indices + first + number, mask=there, other=0)
            rows = begin + local
            if unit == 1.0:
                dots = _products(
                    x, rows, live, others, there, width, unit, False, WIDEN, ROWS, SLOTS, COLUMNS
                )
            else:
                dots = _products(x, rows, live, others, there, width, unit, True, WIDEN, ROWS, SLOTS, COLUMNS)
            norm = tl.load(norms + others, mask=there, other=0.0)
            size = tl.where(norm > 0.0, norm, float("inf"))[None, :]
            alike = tl.div_rn(dots, tl.broadcast_to(size, (ROWS, SLOTS)))
            alike = tl.where(there[None, :], alike, float("-inf"))
            top, where = tl.max(alike, axis=1, return_indices=True)
            slot = tl.where(top > best, at + where, slot)
            best = tl.maximum(best, top)
        own = tl.load(slots + begin + local, mask=live, other=0)
        tl.store(assignment + begin + local, tl.where(own >= 0, own, slot).to(tl.int64), mask=live)
