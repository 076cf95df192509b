"""Index maps: which columns of a batch stay, and how to move tensors between the two lengths.

A map is a long tensor ``(B, n)``: entry ``[b, j]`` is the column that slot ``j`` of row ``b`` was taken from,
or -1 where the row has fewer columns than the longest row. Short rows are filled on the left, as decoding
needs it.
"""

from __future__ import annotations

import torch
from torch import Tensor


def pack(keep: Tensor, width: int) -> Tensor:
    """Collect the kept columns of every row.

    Args:
        keep: ``(B, L)`` bool, the columns that stay.
        width: How many stay in the row that keeps most; to find that here would wait for a device.

    Returns:
        ``(B, width)`` index map, right-aligned.
    """
    counts = keep.sum(1)
    order = keep.to(torch.uint8).argsort(dim=1, stable=True)[:, keep.shape[1] - width :]
    filled = torch.arange(width, device=keep.device) >= (width - counts)[:, None]
    return order.masked_fill(~filled, -1)


def take(x: Tensor, index: Tensor, dim: int) -> Tensor:
    """Gather columns by an index map; slots of -1 take column 0 and must be masked by the caller.

    Args:
        x: Any tensor whose batch dimension is the one before ``dim`` (of size B or 1).
        index: ``(B, n)`` index map.
        dim: The dimension to gather along, counted from the front.

    Returns:
        ``x`` with ``dim`` of size ``n`` and the batch dimension of size ``B``.
    """
    index = index.to(x.device).clamp(min=0)
    rows, width = index.shape
    source = x.expand(*x.shape[: dim - 1], rows, *x.shape[dim:])
    view = index.view(*(1,) * (dim - 1), rows, width, *(1,) * (x.dim() - dim - 1))
    return source.gather(dim, view.expand(*source.shape[:dim], width, *source.shape[dim + 1 :]))


def counting(like: Tensor, start: int, stop: int) -> Tensor:
    """Columns that follow one by one: ``(B, stop - start)``, with the rows and the device of another map."""
    return torch.arange(start, stop, device=like.device).expand(like.shape[0], -1)


def moved_by(index: Tensor, columns: int) -> Tensor:
    """An index map into columns that now lie so much further right; empty slots stay empty."""
    return (index + columns).masked_fill(index < 0, -1)


def invert(index: Tensor, length: int) -> Tensor:
    """Turn an index map around: ``(B, length)``, the slot of every column, or -1 for dropped ones."""
    # Slots of -1 are written to an extra last column, which is cut off.
    target = index.masked_fill(index < 0, length)
    slots = torch.arange(index.shape[1], device=index.device).expand_as(index)
    out = index.new_full((index.shape[0], length + 1), -1)
    return out.scatter(1, target, slots)[:, :length]


def expand_map(index: Tensor, length: int) -> Tensor:
    """Index map from the short sequence back to the caller's length.

    Every dropped column repeats the kept column before it, so the last column still predicts the next token.
    Columns before the first kept one repeat slot 0.

    Args:
        index: ``(B, n)`` index map of the short sequence.
        length: The original length ``L``.

    Returns:
        ``(B, L)`` index map into the short sequence.
    """
    return invert(index, length).clamp(min=0).cummax(dim=1).values
