"""The basis tokens' orthonormal span, in float64 as in the core."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from apet.kernels.device import basis_row, basis_rows, entry, extent, unit_of
from apet.kernels.farthest import Farthest
from apet.kernels.launch import Tiles, options, power_of_2
from apet.kernels.segments import Segments


def orthonormal_span(
    x: Tensor, segments: Segments, points: Farthest, ridge: float, tiles: Tiles
) -> tuple[Tensor, Tensor]:
    """``L^-1 S`` with ``L L^T = S S^T + ridge I`` for the basis tokens ``S``; see the core's `residual`.

    Two launches: the Gram matrix of every slice of columns, then, from their sum, the rows of every slice.

    Returns:
        The rows, ``(S, M', d)`` float32, zeros from each segment's count on, with M' at least 16; and the
        basis, ``(S, M)`` int64, 0 from the count on.
    """
    number, width, device = segments.number, x.shape[1], x.device
    padded = max(16, power_of_2(segments.most))
    across, warps = tiles.span
    slices = -(-width // across)
    grams = torch.empty((number, slices, padded, padded), dtype=torch.float64, device=device)
    span = torch.empty((number, padded, width), dtype=torch.float32, device=device)
    basis = torch.empty((number, segments.most), dtype=torch.int64, device=device)
    # A scalar argument would be a float32.
    wide_ridge = torch.full((1,), ridge, dtype=torch.float64, device=device)
    shared = (x, segments.offsets, segments.counts, points.peaks, points.largest, points.best)
    sizes = (width, points.best.shape[1], segments.most)
    shape = {"BASIS": padded, "COLUMNS": across, **options(warps)}
    _gram[slices, number](*shared, grams, basis, *sizes, **shape)
    together = power_of_2(slices)
    _project[slices, number](*shared, grams, wide_ridge, span, *sizes, slices, SLICES=together, **shape)
    return span, basis


@triton.jit
def _picked(x, rows, columns, width, unit):
    """Basis tokens in float64; zeros for rows of -1."""
    inside = (rows >= 0)[:, None] & (columns < width)[None, :]
    tile = tl.load(x + rows[:, None] * width + columns[None, :], mask=inside, other=0.0)
    return (tile.to(tl.float32) * unit).to(tl.float64)


@entry
def _gram(
    x,
    offsets,
    counts,
    peaks,
    largest,
    best,
    grams,
    basis,
    width,
    keys,
    most,
    BASIS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    segment = tl.program_id(1)
    begin, length = extent(offsets, segment)
    count = tl.load(counts + segment)
    unit = unit_of(peaks, largest, segment)
    steps = tl.arange(0, BASIS)
    local = basis_rows(best, segment, steps, count, unit, length, keys)
    if tl.program_id(0) == 0:
        tl.store(basis + segment * most + steps, tl.maximum(local, 0).to(tl.int64), mask=steps < most)
    rows = tl.where(local >= 0, begin + local, -1)
    columns = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    tile = _picked(x, rows, columns, width, unit)
    gram = tl.zeros((BASIS, BASIS), dtype=tl.float64)
    for step in range(count):
        row = begin + basis_row(best, segment, step, unit, length, keys)
        own = tl.load(x + row * width + columns, mask=columns < width, other=0.0)
        products = tl.sum(tile * (own.to(tl.float32) * unit).to(tl.float64)[None, :], axis=1)
        gram = tl.where(steps[None, :] == step, products[:, None], gram)
    at = (segment * tl.num_programs(0) + tl.program_id(0)).to(tl.int64) * BASIS * BASIS
    tl.store(grams + at + steps[:, None] * BASIS + steps[None, :], gram)


@triton.jit
def _factor(gram, ridge, count, steps, BASIS: tl.constexpr):
    """Cholesky factor of a Gram matrix with a ridge per row; and whether every pivot was positive."""
    row, column = steps[:, None], steps[None, :]
    rest = gram + tl.where(row == column, ridge[:, None], 0.0)
    lower = tl.zeros((BASIS, BASIS), dtype=tl.float64)
    sure = 1
    for step in range(count):
        here = tl.sum(tl.where(column == step, rest, 0.0), axis=1)
        pivot = tl.sum(tl.where(steps == step, here, 0.0), axis=0)
        good = pivot > 0.0
        sure = tl.where(good, sure, 0)
        here = tl.where(steps >= step, here / tl.sqrt(tl.where(good, pivot, 1.0)), 0.0)
        lower = tl.where(column == step, here[:, None], lower)
        rest -= here[:, None] * here[None, :]
    return lower, sure


@entry
def _project(
    x,
    offsets,
    counts,
    peaks,
    largest,
    best,
    grams,
    wide_ridge,
    span,
    width,
    keys,
    most,
    slices,
    BASIS: tl.constexpr,
    COLUMNS: tl.constexpr,
    SLICES: tl.constexpr,
) -> None:
    segment = tl.program_id(1)
    begin, length = extent(offsets, segment)
    count = tl.load(counts + segment)
    unit = unit_of(peaks, largest, segment)
    steps = tl.arange(0, BASIS)
    local = basis_rows(best, segment, steps, count, unit, length, keys)
    parts = tl.arange(0, SLICES)[:, None]
    at = (segment * slices + parts).to(tl.int64) * BASIS * BASIS + tl.arange(0, BASIS * BASIS)[None, :]
    # Each thread sums what it has read itself, so the slices go along the first axis.
    gram = tl.sum(tl.load(grams + at, mask=parts < slices, other=0.0), axis=0).reshape(BASIS, BASIS)
    own = tl.sum(tl.where(steps[:, None] == steps[None, :], gram, 0.0), axis=1)
    # The core's numbers: rounding of float64, its smallest normal number's root, its largest one's.
    floor = tl.maximum(own * (count * 16).to(tl.float64) * 2.220446049250313e-16, 1.4916681462400413e-154)
    wide = unit.to(tl.float64)
    asked = tl.minimum(tl.load(wide_ridge) * wide * wide, 1.3407807929942596e154)
    lower, sure = _factor(gram, tl.maximum(floor, asked), count, steps, BASIS)
    if sure == 0:
        lower, sure = _factor(gram, tl.maximum(floor * 1048576.0, asked), count, steps, BASIS)
    rows = tl.where(local >= 0, begin + local, -1)
    columns = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    rest = _picked(x, rows, columns, width, unit)
    for step in range(count):
        factors = tl.sum(tl.where(steps[None, :] == step, lower, 0.0), axis=1)
        pivot = tl.sum(tl.where(steps == step, factors, 0.0), axis=0)
        row = tl.sum(tl.where(steps[:, None] == step, rest, 0.0), axis=0) / pivot
        below = rest - factors[:, None] * row[None, :]
        rest = tl.where(steps[:, None] == step, row[None, :], tl.where(steps[:, None] > step, below, rest))
    out = span + (segment * BASIS + steps[:, None]).to(tl.int64) * width + columns[None, :]
    tl.store(out, rest.to(tl.float32), mask=(columns < width)[None, :] & (steps < BASIS)[:, None])
