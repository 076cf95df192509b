"""Ways in which families lay their visual tokens over pictures and frames."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from apet.hf.families.family import Grids, Modality, Visual
from apet.hf.grid import Grid

__all__ = ["drawn", "merged", "packed", "sized", "square"]


def drawn(modality: Modality, grids: Grids) -> Modality:
    """The modality with grids."""
    return replace(modality, grids=grids)


def square(*, whole: bool) -> Grids:
    """Every part is a square of tokens, over the picture or over a frame of its own."""

    def grids(visual: Visual, images: Sequence[Sequence[Tensor]]) -> list[list[Grid]]:
        return [
            [
                Grid(side, side, int(rows[0]), frame=frame, whole=whole)
                for frame, rows in enumerate(parts)
                if (side := math.isqrt(len(rows))) ** 2 == len(rows)
            ]
            for parts in images
        ]

    return grids


def merged(argument: str, merge: Callable[[Any], int] | str | None = None) -> Grids:
    """A grid ``(t, h, w)`` of patches per entry, merged to one token in squares.

    Args:
        argument: Name of the feature method's argument with the grids.
        merge: Side of such a square: what the base model tells, or the name of the argument with one per
            entry. None: the vision encoder's ``spatial_merge_size``.
    """

    def grids(visual: Visual, images: Sequence[Sequence[Tensor]]) -> list[list[Grid]]:
        entries = torch.as_tensor(visual.arguments[argument]).tolist()
        if isinstance(merge, str):
            sides = torch.as_tensor(visual.arguments[merge]).tolist()
        else:
            side = (
                visual.base.config.vision_config.spatial_merge_size if merge is None else merge(visual.base)
            )
            sides = [side] * len(entries)
        found = []
        for parts, (_, height, width), side in zip(images, entries, sides, strict=True):
            rows, columns = int(height) // side, int(width) // side
            found.append([Grid(rows, columns, int(part[0]), frame=frame) for frame, part in enumerate(parts)])
        return found

    return grids


def sized(patch: Callable[[Any], int]) -> Grids:
    """Images of any size; the base model tells how many pixels a token is wide and high.

    Without sizes, as with an encoder of square images, every image is a square of what the processor made.
    """

    def grids(visual: Visual, images: Sequence[Sequence[Tensor]]) -> list[list[Grid]]:
        sizes = visual.arguments.get("image_sizes")
        if sizes is None:
            return square(whole=False)(visual, images)
        side = patch(visual.base)
        return [
            [Grid(int(height) // side, int(width) // side, int(rows[0]))]
            for (rows,), (height, width) in zip(images, torch.as_tensor(sizes).tolist(), strict=True)
        ]

    return grids


def packed(visual: Visual, images: Sequence[Sequence[Tensor]]) -> list[list[Grid]]:
    """LLaVA-NeXT's packing: a square over the whole picture, then one grid of all tiles, without padding.

    The newline behind every row is no token of the grid: the first gap in the row numbers tells its width.
    """
    found = []
    for base, *tiles in images:
        side = math.isqrt(len(base))
        grids = [Grid(side, side, int(base[0]), title="overview" if tiles else "")]
        if tiles:
            rows = torch.cat(tiles).sort().values
            gaps = (rows.diff() > 1).nonzero()
            columns = int(gaps[0]) + 1 if len(gaps) else len(rows)
            down = len(rows) // columns
            grids.append(Grid(down, columns, int(rows[0]), columns + 1, title="details"))
        found.append(grids)
    return found
