"""Ways in which families lay their visual tokens over pictures and frames."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from apet.hf.families.family import Grids, Visual
from apet.hf.grid import Grid


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
        by_image = []
        for parts, (_, height, width), side in zip(images, entries, sides, strict=True):
            rows, columns = int(height) // side, int(width) // side
            by_image.append(
                [Grid(rows, columns, int(part[0]), frame=frame) for frame, part in enumerate(parts)]
            )
        return by_image

    return grids


def sized(patch: Callable[[Any], int]) -> Grids:
    """Images of any size; the base model tells how many pixels a token is wide and high.

    Without sizes, as with an encoder of square images, every image is a square of what the processor made.
    """

    def grids(visual: Visual, images: Sequence[Sequence[Tensor]]) -> list[list[Grid]]:
        sizes = visual.arguments.get("image_sizes")
        if sizes is None:
            return [list(grids) for grids in square(whole=False)(visual, images)]
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
    by_image = []
    sizes = torch.as_tensor(visual.arguments["image_sizes"]).tolist()
    for (base, *tiles), size in zip(images, sizes, strict=True):
        side = math.isqrt(len(base))
        grids = [Grid(side, side, int(base[0]), title="overview" if tiles else "")]
        if tiles:
            rows = torch.cat(tiles).sort().values
            gaps = (rows.diff() > 1).nonzero()
            columns = int(gaps[0]) + 1 if len(gaps) else len(rows)
            down, area = len(rows) // columns, _unpadded(visual.base, size)
            grids.append(Grid(down, columns, int(rows[0]), columns + 1, area=area, title="details"))
        by_image.append(grids)
    return by_image


def _unpadded(base: Any, size: list[int]) -> tuple[float, float, float, float]:
    """What is left of the tiles without padding, as shares of the picture.

    The model cuts whole patches on both sides alike, so up to a patch of padding may be left on each.
    """
    module = importlib.import_module(type(base).__module__)
    vision = base.config.vision_config
    down, across = module.get_anyres_image_grid_shape(
        size, base.config.image_grid_pinpoints, vision.image_size
    )
    height, width = down * vision.image_size, across * vision.image_size
    patches = torch.empty(1, height // vision.patch_size, width // vision.patch_size, device="meta")
    _, rows, columns = module.unpad_image(patches, size).shape
    scale = min(height / size[0], width / size[1])
    high = rows * vision.patch_size / (size[0] * scale) / 2
    wide = columns * vision.patch_size / (size[1] * scale) / 2
    return 0.5 - wide, 0.5 - high, 0.5 + wide, 0.5 + high
