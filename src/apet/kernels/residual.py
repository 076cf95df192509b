"""Approximation errors: one more read of the tokens, formed as residuals and then measured.

``||x||^2 - ||Z||^2`` needs no read at all, since the products with the basis can be had while it is picked.
It loses the error of a token that lies near the span to cancellation, so the residual is formed.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from apet.kernels.device import basis_rows, entry, program_rows, read_rows, unit_of
from apet.kernels.farthest import Farthest
from apet.kernels.launch import Tiles, grid, options
from apet.kernels.segments import Segments


def residual_errors(
    x: Tensor, segments: Segments, points: Farthest, span: Tensor, tiles: Tiles
) -> tuple[Tensor, Tensor]:
    """Distance of every token to its approximation.

    Returns:
        Errors ``(T,)`` float32 in the unit of the tokens, and scores ``(S, N)`` int32, N that of the longest
        segment, that order as the errors do, with every basis token first and what is no token last.
    """
    errors = torch.empty(len(x), dtype=torch.float32, device=x.device)
    longest = max(segments.lengths)
    scores = torch.empty((segments.number, longest), dtype=torch.int32, device=x.device)
    rows, columns, warps = tiles.residual
    _residual[grid(segments, rows)](
        x,
        segments.offsets,
        segments.counts,
        points.peaks,
        points.largest,
        points.best,
        span,
        errors,
        scores,
        x.shape[1],
        points.best.shape[1],
        longest,
        BASIS=span.shape[1],
        ROWS=rows,
        COLUMNS=columns,
        WHOLE=x.shape[1] <= columns,
        **options(warps),
    )
    return errors, scores


@triton.jit
def _weigh(tile, weights, span, columns, width, steps, count):
    """Adds the products of some columns with the basis to the weights ``(rows, basis)``."""
    for step in range(count):
        row = tl.load(span + step * width + columns, mask=columns < width, other=0.0)
        weight = tl.sum(tile * row[None, :], axis=1)
        weights += tl.where(steps[None, :] == step, weight[:, None], 0.0)
    return weights


@triton.jit
def _left(tile, weights, span, columns, width, steps, count):
    """Squared length of what the basis leaves of some columns."""
    for step in range(count):
        row = tl.load(span + step * width + columns, mask=columns < width, other=0.0)
        weight = tl.sum(tl.where(steps[None, :] == step, weights, 0.0), axis=1)
        tile -= weight[:, None] * row[None, :]
    return tl.sum(tile * tile, axis=1)


@entry
def _residual(
    x,
    offsets,
    counts,
    peaks,
    largest,
    best,
    span,
    errors,
    scores,
    width,
    keys,
    longest,
    BASIS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    WHOLE: tl.constexpr,
) -> None:
    segment, begin, length, local, live, wanted = program_rows(offsets, ROWS)
    score = tl.full((ROWS,), -1, dtype=tl.int32)
    if wanted:
        unit = unit_of(peaks, largest, segment)
        count = tl.load(counts + segment).to(tl.int32)
        steps = tl.arange(0, BASIS)
        own = span + (segment * BASIS).to(tl.int64) * width
        weights = tl.zeros((ROWS, BASIS), dtype=tl.float32)
        squares = tl.zeros((ROWS,), dtype=tl.float32)
        if WHOLE:  # read once
            columns = tl.arange(0, COLUMNS)
            tile = read_rows(x, begin + local, live, columns, width, unit)
            weights = _weigh(tile, weights, own, columns, width, steps, count)
            squares = _left(tile, weights, own, columns, width, steps, count)
        else:
            for at in range(0, width, COLUMNS):
                columns = at + tl.arange(0, COLUMNS)
                tile = read_rows(x, begin + local, live, columns, width, unit)
                weights = _weigh(tile, weights, own, columns, width, steps, count)
            for at in range(0, width, COLUMNS):
                columns = at + tl.arange(0, COLUMNS)
                tile = read_rows(x, begin + local, live, columns, width, unit)
                squares += _left(tile, weights, own, columns, width, steps, count)
        error = tl.sqrt_rn(squares)
        tl.store(errors + begin + local, error / unit, mask=live)
        picked = basis_rows(best, segment, steps, count, unit, length, keys)
        chosen = tl.max((local[:, None] == picked[None, :]).to(tl.int32), axis=1)
        score = tl.where(chosen > 0, 2147483647, error.to(tl.int32, bitcast=True) & 2147483647)
        score = tl.where(live, score, -1)
    tl.store(scores + segment.to(tl.int64) * longest + local, score, mask=local < longest)
