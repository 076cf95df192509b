"""Cells that cover a picture's tokens as evenly as their number allows."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from apet.core.errors import ApETError


def check_grid(grid: object, operation: str) -> None:
    """Checks rows and columns of a grid of tokens; None is a grid that is not known."""
    if grid is None:
        return
    pair = isinstance(grid, tuple) and len(grid) == 2
    if not pair or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in grid):  # type: ignore[attr-defined]
        raise ApETError(operation, f"grid={grid!r}", "None, or (rows, columns), two ints of at least 1")


def cells(total: int, count: int, grid: tuple[int, int] | None) -> tuple[Tensor, Tensor]:
    """Cuts ``total`` tokens into ``count`` cells.

    The cells cover the grid in bands of rows, about as many bands as make them square, each cut into as many
    columns as its share of the cells; bands and columns differ by one token at most, as do the numbers of
    cells per band. A grid that does not have ``total`` tokens is taken for unknown (stage 2 chooses among
    what stage 1 kept). If it is unknown and ``total`` is a square, it is taken to be square; else the cells
    are runs of tokens in raster order.

    Args:
        total: Tokens, N.
        count: Cells, 1 to N.
        grid: Rows and columns of the tokens, or None.

    Returns:
        The cell of every token, ``(N,)`` int64, and the central token of every cell, ``(count,)`` ascending;
        of two central rows or columns the first.
    """
    side = math.isqrt(total)
    if grid is None or math.prod(grid) != total:
        grid = (side, side) if side * side == total else (1, total)
    height, width = grid
    bands = min(max(round(math.sqrt(count * height / width)), math.ceil(count / width), 1), height, count)
    cell, centres = torch.empty(height, width, dtype=torch.int64, device="cpu"), []
    first = 0
    for top, bottom, share in zip(*_cuts(height, bands), _sizes(count, bands), strict=True):
        for number, (left, right) in enumerate(zip(*_cuts(width, share), strict=True)):
            cell[top:bottom, left:right] = first + number
            centres.append((top + bottom - 1) // 2 * width + (left + right - 1) // 2)
        first += share
    return cell.flatten(), torch.tensor(centres, device="cpu")


def _cuts(length: int, parts: int) -> tuple[list[int], list[int]]:
    """Where each of ``parts`` even parts of a length begins and ends."""
    edges = [number * length // parts for number in range(parts + 1)]
    return edges[:-1], edges[1:]


def _sizes(length: int, parts: int) -> list[int]:
    """The sizes of those parts."""
    return [end - start for start, end in zip(*_cuts(length, parts), strict=True)]
