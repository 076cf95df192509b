"""Where visual tokens lie, for the methods that are told it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from apet.core.errors import ApETError
from apet.methods import Places
from apet.vllm.parts import Parts, ranks


class InSquares:
    """Mixed into a family's model of whose images every part is a square."""

    def apet_where(self, arguments: dict[str, Any], parts: Sequence[Parts]) -> list[Tensor]:
        """Squares."""
        return in_squares(parts)


class WithNewlines:
    """Mixed into a family's model with LLaVA-NeXT's packing."""

    def apet_where(self, arguments: dict[str, Any], parts: Sequence[Parts]) -> list[Tensor]:
        """A square and the rows of all tiles."""
        return from_newlines(parts)


def in_squares(parts: Sequence[Parts]) -> list[Tensor]:
    """Row and column ``(N, 2)`` of every token of each item, where every part is a square."""
    return [_squares(own.of.long()) for own in parts]


def _squares(of: Tensor) -> Tensor:
    sizes = torch.bincount(of + 1)
    for size in sizes[1:].tolist():
        if math.isqrt(size) ** 2 != size:
            raise ApETError(
                "apet.vllm", f"places of {size} tokens as one", "unit='part', where each is a square"
            )
    side = sizes.double().sqrt().long().clamp(min=1)[of + 1]
    order = ranks(of)
    where = torch.stack((order // side, order % side), dim=1)
    return where.masked_fill((of < 0).unsqueeze(1), -1)


def from_newlines(parts: Sequence[Parts]) -> list[Tensor]:
    """Row and column ``(N, 2)`` in LLaVA-NeXT's packing: a square, then rows of tiles with newlines."""
    places = []
    for own in parts:
        of = own.of.long()
        where = _squares(torch.where(of == 0, of, -1))
        newline = of < 0
        row = newline.long().cumsum(0)
        order = torch.arange(len(of))
        begins = torch.where(newline, order + 1, 0).cummax(0).values.clamp(min=int((of == 0).sum()))
        tiles = torch.stack((row, order - begins), dim=1)
        places.append(torch.where((of > 0).unsqueeze(1), tiles, where))
    return places


def in_grids(grids: Iterable[Sequence[int]], merge: int = 1) -> list[Tensor]:
    """Row and column ``(N, 2)``, given frames, rows and columns of each item before merging."""
    return [
        torch.cartesian_prod(torch.arange(rows // merge), torch.arange(columns // merge))
        .view(-1, 2)
        .repeat(frames, 1)
        for frames, rows, columns in grids
    ]


def places_in(where: Tensor, part: Tensor, device: torch.device) -> Places:
    """The places of some tokens of an item, as a batch of one.

    Args:
        where: ``(N, 2)`` row and column of every token of the item, on the CPU; frame by frame.
        part: ``(n,)`` the tokens, on the CPU, ascending.
        device: Where to put the places.
    """
    row_column = where[part]
    # A frame begins where the order by rows and columns begins anew.
    down, right = row_column.diff(dim=0).unbind(dim=1)
    begins = (down < 0) | ((down == 0) & (right <= 0))
    frame = torch.nn.functional.pad(begins.long().cumsum(0), (1, 0))
    frames = int(frame[-1]) + 1
    places, blank = frame[:, None].expand_as(row_column), row_column.new_zeros(frames, 2)
    row_column = row_column - blank.scatter_reduce(0, places, row_column, "amin", include_self=False)[frame]
    sizes = blank.scatter_reduce(0, places, row_column, "amax", include_self=False) + 1
    index = torch.cat((frame.unsqueeze(1), row_column), dim=1)
    extents = tuple((height, width) for height, width in sizes.tolist())
    return Places(index[None].to(device, non_blocking=True), extents, video=frames > 1)
