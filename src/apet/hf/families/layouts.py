"""Ways in which families lay tiles, frames and newlines out in their features."""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from apet.hf.families.family import Layout, Visual


def entries(visual: Visual) -> list[list[Tensor]]:
    """Every entry is an image; an entry ``(tiles, n)`` has ``tiles`` parts."""
    return [
        list(rows.chunk(shape[0])) if len(shape) > 1 else [rows]
        for rows, shape in zip(_rows(visual), visual.entries, strict=True)
    ]


def stacked(argument: str) -> Layout:
    """Pixels ``(images, tiles, ..)``, or ``(videos, frames, ..)``; the features list the tiles of all."""

    def layout(visual: Visual) -> list[list[Tensor]]:
        tiles, count = [rows for (rows,) in entries(visual)], int(visual.arguments[argument].shape[1])
        return [tiles[start : start + count] for start in range(0, len(tiles), count)]

    return layout


def equal_parts(size: Callable[[Any], int]) -> Layout:
    """Every part has one size, which the base model tells; an entry holds any number of parts."""

    def layout(visual: Visual) -> list[list[Tensor]]:
        images = []
        for rows in _rows(visual):
            images += [[part] for part in rows.split(size(visual.base)) if len(part)]
        return images

    return layout


def frames_of_grid(argument: str) -> Layout:
    """A grid ``(t, h, w)`` per entry: its parts are the t frames."""

    def layout(visual: Visual) -> list[list[Tensor]]:
        grid = torch.as_tensor(visual.arguments[argument]).tolist()
        return [list(rows.chunk(int(frames))) for rows, (frames, *_) in zip(_rows(visual), grid, strict=True)]

    return layout


def trailing_newline(argument: str) -> Layout:
    """Pixels ``(videos, frames, ..)``; entries of so many frames with one newline token at the end."""

    def layout(visual: Visual) -> list[list[Tensor]]:
        return [list(rows[:-1].chunk(visual.arguments[argument].shape[1])) for rows in _rows(visual)]

    return layout


def anyres(visual: Visual) -> list[list[Tensor]]:
    """LLaVA-NeXT's packing: a base tile, then a grid of tiles, unpadded, with a newline behind every row.

    The model's own packing is run on the tiles' numbers instead of their features, so that no rule of it is
    stated twice. A tile's number has two digits, its row and column in the grid, because the packing may
    interpolate: next to a border a digit is then rounded to one of the two tiles.
    """
    base, arguments = visual.base, visual.arguments
    module = importlib.import_module(type(base).__module__)
    config, sizes = base.config, arguments["image_sizes"]
    side: int = config.vision_config.image_size
    many = arguments.get("batch_num_images")
    patching = [True] * len(sizes) if many is None else [n == 1 for n in many for _ in range(int(n))]
    tiles = []
    for size, several in zip(sizes, patching, strict=True):
        count, across = 1, 1
        if several:
            pinpoints = config.image_grid_pinpoints
            count = module.image_size_to_num_patches(size, pinpoints, side)
            across = module.get_anyres_image_grid_shape(size, pinpoints, side)[1]
        number = torch.arange(-1, count - 1)
        digits = torch.stack((number // across, number % across), dim=-1).float()
        digits[0] = -2  # the base tile
        across_tile = side // config.vision_config.patch_size
        rate = getattr(config, "downsample_rate", None)  # Granite Vision 4 shrinks every tile
        per_tile = (across_tile if rate is None else int(across_tile * Fraction(rate))) ** 2
        tiles.append(digits[:, None].expand(-1, per_tile, -1))
    options: dict[str, Any] = {"image_newline": torch.full((2,), -9.0)}
    for name in inspect.signature(base.pack_image_features).parameters:
        if name.startswith("vision_"):  # generate leaves them to the config
            argument = arguments.get(name)
            options[name] = getattr(config, name) if argument is None else argument
    packed = base.pack_image_features(tiles, sizes, **options)
    packed = packed[0] if isinstance(packed, tuple) else packed
    images, start = [], 0
    for digits in packed:
        rounded = digits.round().long()
        kinds = [kind for kind in rounded.unique(dim=0).tolist() if kind[0] > -9]
        parts = [(rounded == torch.tensor(kind)).all(-1).nonzero()[:, 0] + start for kind in kinds]
        images.append(parts)
        start += len(digits)
    return images


def _rows(visual: Visual) -> list[Tensor]:
    """The row numbers of every entry."""
    counts = [math.prod(shape) for shape in visual.entries]
    return list(torch.arange(sum(counts)).split(counts))
