"""Norms of the tokens, the unit of every segment, and the first basis token: one pass."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from apet.kernels.device import pack, program_rows, read_rows, unit_of
from apet.kernels.launch import OPTIONS, Tiles, grid
from apet.kernels.segments import Segments

__all__ = ["Norms", "measure"]


class Norms:
    """What the pass found, on the device.

    Attributes:
        norms: Euclidean norm of every token in its segment's unit, ``(T,)`` float32.
        peaks: Bits of each segment's largest squared norm in the tokens' own unit, ``(S,)`` int32.
        largest: Bits of each segment's largest absolute value, ``(S,)`` int32; from infinity's on if a value
            is not finite.
        best: Keys of the basis, ``(S, M + 1)`` int64: of the first token in the tokens' own unit, of the
            first token in the segment's, then of every further step.
    """

    def __init__(self, x: Tensor, segments: Segments) -> None:
        number, device = segments.number, x.device
        self.norms = torch.empty(segments.rows, dtype=torch.float32, device=device)
        bits = torch.zeros((2, number), dtype=torch.int32, device=device)
        self.peaks, self.largest = bits[0], bits[1]
        self.best = torch.zeros((number, segments.most + 1), dtype=torch.int64, device=device)


def measure(x: Tensor, segments: Segments, start: Tensor | None, tiles: Tiles) -> Norms:
    """Reads all tokens once; those of segments whose squares leave float32 twice.

    Args:
        x: Tokens ``(T, d)``, contiguous.
        segments: The segments.
        start: First basis token of every segment, ``(S,)`` int64; None for that of largest norm.
        tiles: Sizes of tiles.
    """
    found = Norms(x, segments)
    if start is not None:
        found.best[:, :2] = (2147483647 - start).unsqueeze(1)
    rows, columns = tiles.stream
    for again in (False, True):
        _measure[grid(segments, rows)](
            x,
            segments.offsets,
            found.norms,
            found.peaks,
            found.largest,
            found.best,
            x.shape[1],
            found.best.shape[1],
            FIRST=start is None,
            AGAIN=again,
            ROWS=rows,
            COLUMNS=columns,
            **OPTIONS,
        )
    return found


@triton.jit
def _measure(
    x,
    offsets,
    norms,
    peaks,
    largest,
    best,
    width,
    keys,
    FIRST: tl.constexpr,
    AGAIN: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    segment, begin, _, local, live, wanted = program_rows(offsets, ROWS)
    unit = 1.0
    if AGAIN:
        unit = unit_of(peaks, largest, segment)
        wanted = wanted & (unit != 1.0)
    if wanted:
        squares = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
        top = tl.zeros((ROWS, COLUMNS), dtype=tl.int32)
        for at in range(0, width, COLUMNS):
            tile = read_rows(x, begin + local, live, at + tl.arange(0, COLUMNS), width, unit)
            squares += tile * tile
            top = tl.maximum(top, tile.to(tl.int32, bitcast=True) & 2147483647)
        squared = tl.sum(squares, axis=1)
        tl.store(norms + begin + local, tl.sqrt_rn(squared), mask=live)
        if not AGAIN:
            tl.atomic_max(peaks + segment, tl.max(squared.to(tl.int32, bitcast=True), axis=0))
            tl.atomic_max(largest + segment, tl.max(tl.max(top, axis=1), axis=0))
        if FIRST:
            column = 1 if AGAIN else 0
            key = tl.where(live, pack(squared, local), 0)
            tl.atomic_max(best + segment * keys + column, tl.max(key, axis=0))
