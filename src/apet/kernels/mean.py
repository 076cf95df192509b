"""Means of the rows that go to the same slot."""

from __future__ import annotations

import torch
import triton.language as tl
from torch import Tensor

from apet.kernels.device import entry
from apet.kernels.launch import Tiles, options


def slot_means(x: Tensor, slots: Tensor, kept: int, tiles: Tiles) -> Tensor:
    """Averages in float32; the order of a sum is that of its rows, whatever runs beside it.

    Args:
        x: Rows ``(T, w)``, contiguous.
        slots: Slot of every row, ``(T,)`` int64 in 0..kept-1; the mean of an empty one is undefined.
        kept: Number of slots, K.
        tiles: Sizes of tiles.

    Returns:
        ``(K, w)`` in the dtype of ``x``.
    """
    # A sort of 32 bits takes half as long as one of 64.
    ordered, order = slots.to(torch.int32).sort(stable=True)
    begins = torch.searchsorted(ordered, torch.arange(kept + 1, dtype=torch.int32, device=x.device))
    out = torch.empty((kept, x.shape[1]), dtype=x.dtype, device=x.device)
    rows, columns, warps = tiles.mean
    launch = (kept, -(-x.shape[1] // columns))
    _mean[launch](x, order, begins, out, x.shape[1], ROWS=rows, COLUMNS=columns, **options(warps))
    return out


@entry
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
