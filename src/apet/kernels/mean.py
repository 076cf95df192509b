"""Means of the rows that go to the same slot."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from apet.kernels.launch import OPTIONS, Tiles
from apet.kernels.ranks import group_rows
from apet.kernels.segments import Segments

__all__ = ["segment_means"]


def segment_means(x: Tensor, assignment: Tensor, segments: Segments, tiles: Tiles) -> Tensor:
    """Averages in float32; the order of a sum is that of its rows, whatever runs beside it.

    Args:
        x: Rows ``(T, w)``, contiguous.
        assignment: Slot of every row in its segment, ``(T,)`` int64, no slot empty.
        segments: The segments.
        tiles: Sizes of tiles.

    Returns:
        ``(K, w)`` in the dtype of ``x``.
    """
    order, begins = group_rows(assignment, segments, tiles)
    out = torch.empty((segments.kept, x.shape[1]), dtype=x.dtype, device=x.device)
    rows, columns = tiles.mean
    launch = (segments.kept, triton.cdiv(x.shape[1], columns))
    _mean[launch](x, order, begins, out, x.shape[1], ROWS=rows, COLUMNS=columns, **OPTIONS)
    return out


@triton.jit
def _mean(x, order, begins, out, width, ROWS: tl.constexpr, COLUMNS: tl.constexpr) -> None:
    slot = tl.program_id(0).to(tl.int64)
    begin, end = tl.load(begins + slot), tl.load(begins + slot + 1)
    columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside = columns < width
    sums = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
    for at in range(begin, end, ROWS):
        place = at + tl.arange(0, ROWS)
        live = place < end
        rows = tl.load(order + place, mask=live, other=0)
        tile = tl.load(
            x + rows[:, None] * width + columns[None, :], mask=live[:, None] & inside[None, :], other=0.0
        )
        sums += tile.to(tl.float32)
    mean = tl.sum(sums, axis=0) / (end - begin).to(tl.float32)
    tl.store(out + slot * width + columns, mean.to(out.dtype.element_ty), mask=inside)
