"""Where dropped tokens go: the kept token of highest cosine similarity, without a matrix of similarities."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from apet.kernels.device import entry, program_rows, unit_of
from apet.kernels.farthest import Farthest
from apet.kernels.launch import Tiles, dot_options, grid, power_of_2
from apet.kernels.segments import Segments


def assign_slots(x: Tensor, segments: Segments, points: Farthest, indices: Tensor, tiles: Tiles) -> Tensor:
    """The slot in its segment that every token goes to, ``(T,)`` int64; a kept token has its own.

    ``indices (S, K)`` int64 are the kept tokens' numbers in their segments; those from a segment's count on
    are not looked at.

    A program goes over the kept tokens in blocks and remembers the best of each of its tokens. Tokens of 16
    bits are multiplied as they are, since their products are exact in float32, and divided by the kept
    token's norm afterwards.
    """
    assignment = torch.empty(len(x), dtype=torch.int64, device=x.device)
    rows, slots, columns, warps = tiles.assign
    slots = min(slots, max(64, power_of_2(indices.shape[1])))
    if x.dtype == torch.float32:  # what tiles need of the shared memory
        rows, columns = max(16, rows // 2), max(16, columns // 2)
    _assign[grid(segments, rows)](
        x,
        segments.offsets,
        segments.kept,
        points.peaks,
        points.largest,
        points.norms,
        indices,
        assignment,
        x.shape[1],
        indices.shape[1],
        ROWS=rows,
        SLOTS=slots,
        COLUMNS=columns,
        **dot_options(x, warps),
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
        dots = tl.dot(left, tl.trans(right), dots, input_precision="tf32x3")
    return dots


@entry
def _assign(
    x,
    offsets,
    keeps,
    peaks,
    largest,
    norms,
    indices,
    assignment,
    width,
    most,
    ROWS: tl.constexpr,
    SLOTS: tl.constexpr,
    COLUMNS: tl.constexpr,
    WIDEN: tl.constexpr,
) -> None:
    segment, begin, length, local, live, wanted = program_rows(offsets, ROWS)
    kept = tl.load(keeps + segment).to(tl.int32)
    if wanted:
        best = tl.full((ROWS,), float("-inf"), dtype=tl.float32)
        # With one slot or nothing dropped there is nothing to compare.
        slot = tl.where(kept == length, local, tl.zeros((ROWS,), dtype=tl.int32))
        compared = tl.where((kept > 1) & (kept < length), kept, 0)
        unit = unit_of(peaks, largest, segment)
        for at in range(0, compared, SLOTS):
            number = at + tl.arange(0, SLOTS)
            there = number < kept
            chosen = tl.load(indices + segment * most + number, mask=there, other=-1)
            others = begin + tl.maximum(chosen, 0)
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
            alike = tl.where(local[:, None] == chosen[None, :], float("inf"), alike)
            top, where = tl.max(alike, axis=1, return_indices=True)
            slot = tl.where(top > best, at + where, slot)
            best = tl.maximum(best, top)
        tl.store(assignment + begin + local, slot.to(tl.int64), mask=live)
