"""Farthest point sampling: one launch and one read of the tokens for each further basis token."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from apet.kernels.device import basis_row, pack, program_rows, read_rows, unit_of
from apet.kernels.launch import OPTIONS, Tiles, grid
from apet.kernels.norms import Norms
from apet.kernels.segments import Segments

__all__ = ["pick_farthest"]


def pick_farthest(x: Tensor, segments: Segments, found: Norms, tiles: Tiles) -> None:
    """Fills ``found.best``; the first token's keys are there already.

    A step needs the maximum over all tokens of the step before it. It is found by an atomic maximum of
    integers, so programs need not wait for each other and no order of them can change it.
    """
    nearest = torch.empty(segments.rows, dtype=torch.float32, device=x.device)
    rows, columns = tiles.stream
    for step in range(1, segments.most):
        _farthest[grid(segments, rows)](
            x,
            segments.offsets,
            segments.counts,
            found.peaks,
            found.largest,
            found.best,
            nearest,
            x.shape[1],
            found.best.shape[1],
            step,
            FIRST=step == 1,
            ROWS=rows,
            COLUMNS=columns,
            **OPTIONS,
        )


@triton.jit(do_not_specialize=["step"])
def _farthest(
    x,
    offsets,
    counts,
    peaks,
    largest,
    best,
    nearest,
    width,
    keys,
    step,
    FIRST: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    segment, begin, length, local, live, wanted = program_rows(offsets, ROWS)
    if wanted & (step < tl.load(counts + segment)):
        unit = unit_of(peaks, largest, segment)
        pivot = basis_row(best, segment, step - 1, unit, length, keys)
        squares = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
        for at in range(0, width, COLUMNS):
            columns = at + tl.arange(0, COLUMNS)
            tile = read_rows(x, begin + local, live, columns, width, unit)
            own = tl.load(x + (begin + pivot) * width + columns, mask=columns < width, other=0.0)
            # Differences before squares: nothing cancels, and equal tokens are at distance zero.
            gap = tile - (own.to(tl.float32) * unit)[None, :]
            squares += gap * gap
        distance = tl.sum(squares, axis=1)
        if not FIRST:
            distance = tl.minimum(distance, tl.load(nearest + begin + local, mask=live, other=-1.0))
        distance = tl.where(local == pivot, -1.0, distance)
        tl.store(nearest + begin + local, distance, mask=live)
        key = tl.where(live & (distance >= 0.0), pack(distance, local), 0)
        tl.atomic_max(best + segment * keys + step + 1, tl.max(key, axis=0))
