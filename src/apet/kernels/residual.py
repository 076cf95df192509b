"""Approximation errors: one more read of the tokens, formed as residuals and then measured.

``||x||^2 - ||Z||^2`` needs no read at all, since the products with the basis can be had while it is picked.
It loses the error of a token that lies near the span to cancellation, so the residual is formed.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from apet.kernels.device import basis_rows, program_rows, read_rows, unit_of
from apet.kernels.farthest import Basis
from apet.kernels.launch import Tiles, grid, options
from apet.kernels.segments import Segments

__all__ = ["residual_errors"]


def residual_errors(
    x: Tensor, segments: Segments, found: Basis, span: Tensor, tiles: Tiles
) -> tuple[Tensor, Tensor]:
    """Distance of every token to its approximation.

    Returns:
        Errors ``(T,)`` float32 in the unit of the tokens, and scores ``(S, N)`` int32, N that of the longest
        segment, that order as the errors do, with every basis token first and what is no token last.
    """
    errors = torch.empty(len(x), dtype=torch.float32, device=x.device)
    longest = max(segments.lengths)
    scores = torch.empty((segments.number, longest), dtype=torch.int32, device=x.device)
    rows, columns, warps, stages = tiles.residual
    _residual[grid(segments, rows)](
        x,
        segments.offsets,
        segments.counts,
        found.peaks,
        found.largest,
        found.best,
        span,
        errors,
        scores,
        x.shape[1],
        found.best.shape[1],
        longest,
        BASIS=span.shape[1],
        ROWS=rows,
        COLUMNS=columns,
        num_stages=stages,
        **options(warps),
    )
    return errors, scores


@triton.jit
def _span_tile(span, segment, steps, columns, width, BASIS: tl.constexpr):
    at = (segment * BASIS + steps[:, None]).to(tl.int64) * width + columns[None, :]
    return tl.load(span + at, mask=(columns < width)[None, :] & (steps < BASIS)[:, None], other=0.0)


@triton.jit(do_not_specialize=["keys", "longest"])
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
) -> None:
    segment, begin, length, local, live, wanted = program_rows(offsets, ROWS)
    score = tl.full((ROWS,), -1, dtype=tl.int32)
    if wanted:
        unit = unit_of(peaks, largest, segment)
        count = tl.load(counts + segment)
        steps = tl.arange(0, BASIS)
        weights = tl.zeros((ROWS, BASIS), dtype=tl.float32)
        for at in range(0, width, COLUMNS):
            columns = at + tl.arange(0, COLUMNS)
            tile = read_rows(x, begin + local, live, columns, width, unit)
            part = _span_tile(span, segment, steps, columns, width, BASIS)
            weights = tl.dot(tile, tl.trans(part), weights, input_precision="tf32x3")
        squares = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
        for at in range(0, width, COLUMNS):
            columns = at + tl.arange(0, COLUMNS)
            # The tile was read just now, so it comes from a cache.
            tile = read_rows(x, begin + local, live, columns, width, unit)
            part = _span_tile(span, segment, steps, columns, width, BASIS)
            gap = tile - tl.dot(weights, part, input_precision="tf32x3")
            squares += gap * gap
        error = tl.sqrt_rn(tl.sum(squares, axis=1))
        tl.store(errors + begin + local, error / unit, mask=live)
        picked = basis_rows(best, segment, steps, count, unit, length, keys)
        chosen = tl.max((local[:, None] == picked[None, :]).to(tl.int32), axis=1)
        score = tl.where(chosen > 0, 2147483647, error.to(tl.int32, bitcast=True) & 2147483647)
        score = tl.where(live, score, -1)
    tl.store(scores + segment.to(tl.int64) * longest + local, score, mask=local < longest)
