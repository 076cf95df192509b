"""How a family's vision encoder is given smaller pictures."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Size = tuple[int, int]
Sizes = tuple[Size, Size]
"""Rows and columns of an image's visual tokens, before and after."""


@dataclass(frozen=True)
class Shrunk:
    """A call of a feature method on smaller pictures.

    Attributes:
        arguments: What to call it with.
        grids: One pair per image.
    """

    arguments: dict[str, Any]
    grids: list[Sizes]


@dataclass(frozen=True)
class Shrink:
    """A way to make the pictures in the arguments of a feature method smaller.

    Attributes:
        fits: Whether it works for a base model.
        run: Takes the base model, the arguments by name, and what gives the rows and columns of tokens in
            place of given ones.
    """

    fits: Callable[[Any], bool]
    run: Callable[[Any, dict[str, Any], Callable[[int, int], Size]], Shrunk]


def _takes_other_sizes(base: Any) -> bool:
    tower = getattr(base, "vision_tower", None)
    return tower is not None and "interpolate_pos_encoding" in inspect.signature(tower.forward).parameters


def _interpolate(base: Any, arguments: dict[str, Any], smaller: Callable[[int, int], Size]) -> Shrunk:
    pixels: Tensor = arguments["pixel_values"]
    patch: int = base.config.vision_config.patch_size
    large = (pixels.shape[-2] // patch, pixels.shape[-1] // patch)
    small = smaller(*large)
    if small != large:
        size = (small[0] * patch, small[1] * patch)
        arguments = {**arguments, "pixel_values": _resize(pixels, size), "interpolate_pos_encoding": True}
    return Shrunk(arguments, [(large, small)] * len(pixels))


def _regrid(base: Any, arguments: dict[str, Any], smaller: Callable[[int, int], Size]) -> Shrunk:
    vision = base.config.vision_config
    merge, patch, frames = vision.spatial_merge_size, vision.patch_size, vision.temporal_patch_size
    pixels, sizes = arguments["pixel_values"], torch.as_tensor(arguments["image_grid_thw"])
    parts, grids, new = [], [], sizes.clone()
    for number, (rows, (time, height, width)) in enumerate(
        zip(pixels.split(sizes.prod(-1).tolist()), sizes.tolist(), strict=True)
    ):
        large = (height // merge, width // merge)
        small = smaller(*large)
        grids.append((large, small))
        new[number, 1], new[number, 2] = small[0] * merge, small[1] * merge
        if small == large:
            parts.append(rows)
            continue
        # Patches come window by window, merge x merge of them, each (channels, frames, patch, patch).
        cut = rows.view(time, *large, merge, merge, -1, frames, patch, patch)
        picture = cut.permute(0, 6, 5, 1, 3, 7, 2, 4, 8).flatten(6, 8).flatten(3, 5).flatten(0, 1)
        picture = _resize(picture, (small[0] * merge * patch, small[1] * merge * patch))
        cut = picture.view(time, frames, -1, small[0], merge, patch, small[1], merge, patch)
        parts.append(cut.permute(0, 3, 6, 4, 7, 2, 1, 5, 8).reshape(-1, rows.shape[1]))
    return Shrunk({**arguments, "pixel_values": torch.cat(parts), "image_grid_thw": new}, grids)


def _resize(pictures: Tensor, size: Size) -> Tensor:
    """Bicubic with antialiasing, as image processors do it; of normalised pixels, so nothing is clipped."""
    wide = pictures.to(torch.float32)
    small = torch.nn.functional.interpolate(wide, size=size, mode="bicubic", antialias=True)
    return small.to(pictures.dtype)


INTERPOLATED = Shrink(_takes_other_sizes, _interpolate)
"""Encoders with one position per patch of a fixed grid, which transformers interpolates on request."""
REGRID = Shrink(lambda base: True, _regrid)
"""Encoders of grids of any size, whose patches come flattened, with ``image_grid_thw``."""
