"""Norms of the tokens and farthest point sampling: one launch, whose programs meet between its steps.

The programs of a segment go over its tokens once for the norms and once for each further basis token. A step
needs the maximum over all tokens of the step before it, an atomic maximum of integers that no order of the
programs can change. So few segments are worked on at a time that their tokens stay in the L2 cache.

The interpreter runs one program after another, so there each step is a launch of the same function.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from apet.core.dispatch import interpreted
from apet.kernels.device import basis_row, entry, extent, pack, read_rows, unit_of
from apet.kernels.launch import Tiles, grid, options, processors
from apet.kernels.segments import Segments

_REGISTERS = 128
_WARPS = 16
"""Warps with so many registers that a multiprocessor holds at once."""


class Farthest:
    """What the passes found, on the device.

    Attributes:
        norms: Euclidean norm of every token in its segment's unit, ``(T,)`` float32.
        peaks: Bits of each segment's largest squared norm in the tokens' own unit, ``(S,)`` int32.
        largest: Bits of each segment's largest absolute value, ``(S,)`` int32; from infinity's on if a value
            is not finite.
        met: How often programs have arrived where they meet, ``(S,)`` int32.
        best: Keys of the basis, ``(S, M + 1)`` int64: of the first token in the tokens' own unit, of the
            first token in the segment's, then of every further step.
        nearest: Squared distance of every token to the nearest basis token so far, ``(T,)`` float32.
    """

    def __init__(self, x: Tensor, segments: Segments) -> None:
        number, keys = segments.number, segments.most + 1
        zeros = torch.zeros(number * (keys + 2), dtype=torch.int64, device=x.device)
        self.best = zeros[: number * keys].view(number, keys)
        self.peaks, self.largest, self.met, _ = zeros[number * keys :].view(torch.int32).view(4, number)
        self.norms, self.nearest = torch.empty((2, len(x)), dtype=torch.float32, device=x.device)


def groups(tiles: int, segments: int, programs: int) -> tuple[int, int]:
    """Programs for each segment, and segments at a time, so that few programs are without work."""
    together = min(segments, max(1, programs // tiles))
    rounds = -(-tiles * together // programs)
    return -(-tiles // rounds), together


def pick_farthest(x: Tensor, segments: Segments, start: Tensor | None, tiles: Tiles) -> Farthest:
    """Norms and basis of every segment.

    Args:
        x: Tokens ``(T, d)``, contiguous.
        segments: The segments.
        start: First basis token of every segment, ``(S,)`` int64; None for that of largest norm.
        tiles: Sizes of tiles.
    """
    points = Farthest(x, segments)
    if start is not None:
        points.best[:, :2] = (2147483647 - start).unsqueeze(1)
    rows, columns, warps = tiles.stream
    keys = (points.norms, points.peaks, points.largest, points.best, points.nearest, points.met)
    shared = (x, segments.offsets, segments.counts, *keys)
    sizes = (x.shape[1], segments.most + 1, segments.number)
    across, number = grid(segments, rows)
    shape = {"FIRST": start is None, "ROWS": rows, "COLUMNS": columns}
    if interpreted():
        for step in range(-1, segments.most):
            _apart[across, number](*shared, *sizes, step, **shape, **options(warps))
        return points
    each, together = groups(across, number, processors(x.device.index or 0) * _WARPS // warps)
    _together[each, together](
        *shared, *sizes, **shape, **options(warps), maxnreg=_REGISTERS, launch_cooperative_grid=True
    )
    return points


@triton.jit
def _norms(
    x,
    begin,
    length,
    segment,
    norms,
    peaks,
    largest,
    best,
    nearest,
    width,
    keys,
    unit,
    AGAIN: tl.constexpr,
    FIRST: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    """A program's share of the norms, and of the first basis token's key."""
    for tile in range(tl.program_id(0), tl.cdiv(length, ROWS), tl.num_programs(0)):
        local = tile * ROWS + tl.arange(0, ROWS)
        live = local < length
        squared = tl.zeros((ROWS,), dtype=tl.float32)
        top = tl.zeros((ROWS,), dtype=tl.int32)
        for at in range(0, width, COLUMNS):
            part = read_rows(x, begin + local, live, at + tl.arange(0, COLUMNS), width, unit)
            squared += tl.sum(part * part, axis=1)
            top = tl.maximum(top, tl.max(part.to(tl.int32, bitcast=True) & 2147483647, axis=1))
        tl.store(norms + begin + local, tl.sqrt_rn(squared), mask=live)
        tl.store(nearest + begin + local, float("inf"), mask=live)
        if not AGAIN:
            tl.atomic_max(peaks + segment, tl.max(squared.to(tl.int32, bitcast=True), axis=0))
            tl.atomic_max(largest + segment, tl.max(top, axis=0))
        if FIRST:
            key = tl.where(live, pack(squared, local), 0)
            tl.atomic_max(best + segment * keys + (1 if AGAIN else 0), tl.max(key, axis=0))


@triton.jit
def _farther(
    x,
    begin,
    length,
    segment,
    best,
    nearest,
    width,
    keys,
    unit,
    step,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    """A program's share of one step of farthest point sampling."""
    pivot = basis_row(best, segment, step - 1, unit, length, keys)
    for tile in range(tl.program_id(0), tl.cdiv(length, ROWS), tl.num_programs(0)):
        local = tile * ROWS + tl.arange(0, ROWS)
        live = local < length
        distance = tl.zeros((ROWS,), dtype=tl.float32)
        for at in range(0, width, COLUMNS):
            columns = at + tl.arange(0, COLUMNS)
            part = read_rows(x, begin + local, live, columns, width, unit)
            own = tl.load(x + (begin + pivot) * width + columns, mask=columns < width, other=0.0)
            # Differences before squares: nothing cancels, and equal tokens are at distance zero.
            gap = part - (own.to(tl.float32) * unit)[None, :]
            distance += tl.sum(gap * gap, axis=1)
        distance = tl.minimum(distance, tl.load(nearest + begin + local, mask=live, other=-1.0))
        distance = tl.where(local == pivot, -1.0, distance)
        tl.store(nearest + begin + local, distance, mask=live)
        key = tl.where(live & (distance >= 0.0), pack(distance, local), 0)
        tl.atomic_max(best + segment * keys + step + 1, tl.max(key, axis=0))


@triton.jit
def _meet(met, target) -> None:
    """Waits until so many arrivals were counted; what the others wrote before is seen afterwards."""
    tl.debug_barrier()
    arrived = tl.atomic_add(met, 1, sem="acq_rel", scope="gpu") + 1
    while arrived < target:
        arrived = tl.atomic_add(met, 0, sem="acquire", scope="gpu")
    tl.debug_barrier()


@entry
def _together(
    x,
    offsets,
    counts,
    norms,
    peaks,
    largest,
    best,
    nearest,
    met,
    width,
    keys,
    number,
    FIRST: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    each = tl.num_programs(0)
    for segment in range(tl.program_id(1), number, tl.num_programs(1)):
        begin, length = extent(offsets, segment)
        count = tl.load(counts + segment)
        _norms(
            x, begin, length, segment, norms, peaks, largest, best, nearest, width, keys, 1.0,
            False, FIRST, ROWS, COLUMNS,
        )  # fmt: skip
        _meet(met + segment, each)
        meetings = 1
        unit = unit_of(peaks, largest, segment)
        if unit != 1.0:
            _norms(
                x, begin, length, segment, norms, peaks, largest, best, nearest, width, keys, unit,
                True, FIRST, ROWS, COLUMNS,
            )  # fmt: skip
            meetings += 1
            _meet(met + segment, meetings * each)
        for step in range(1, count):
            _farther(x, begin, length, segment, best, nearest, width, keys, unit, step, ROWS, COLUMNS)
            meetings += 1
            _meet(met + segment, meetings * each)


@entry
def _apart(
    x,
    offsets,
    counts,
    norms,
    peaks,
    largest,
    best,
    nearest,
    met,
    width,
    keys,
    number,
    step,
    FIRST: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    segment = tl.program_id(1)
    begin, length = extent(offsets, segment)
    if step == -1:
        _norms(
            x, begin, length, segment, norms, peaks, largest, best, nearest, width, keys, 1.0,
            False, FIRST, ROWS, COLUMNS,
        )  # fmt: skip
    else:
        unit = unit_of(peaks, largest, segment)
        if (step == 0) & (unit != 1.0):
            _norms(
                x, begin, length, segment, norms, peaks, largest, best, nearest, width, keys, unit,
                True, FIRST, ROWS, COLUMNS,
            )  # fmt: skip
        if (step > 0) & (step < tl.load(counts + segment)):
            _farther(x, begin, length, segment, best, nearest, width, keys, unit, step, ROWS, COLUMNS)
