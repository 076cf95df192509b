"""A picture of what was kept: dropped patches dimmed, and the approximation error as a heat map beside it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from apet.core.errors import ApETError
from apet.hf.results import ImageResult

__all__ = ["draw_overlay", "heat_colours", "seen_picture"]

_SIDE = 588
"""Least height of each of the two panels, in pixels."""
_STOPS = np.asarray(
    [(12, 10, 38), (66, 18, 106), (140, 41, 99), (207, 68, 70), (248, 134, 40), (252, 228, 146)], np.float32
)
"""A dark-to-light scale: small errors dark, large ones bright."""


def seen_picture(pixels: Tensor, image_processor: Any) -> Image.Image:
    """The picture as the model saw it, after resizing and cropping.

    Args:
        pixels: ``(3, height, width)``, normalised as the image processor does it.
        image_processor: Tells the mean and the standard deviation.
    """
    values = pixels.detach().float().cpu().permute(1, 2, 0).numpy()
    values = values * np.asarray(image_processor.image_std) + np.asarray(image_processor.image_mean)
    return Image.fromarray(np.clip(values * 255 + 0.5, 0, 255).astype(np.uint8))


def heat_colours(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Colours ``(.., 3)`` of values in [0, 1]."""
    at = np.clip(values, 0, 1) * (len(_STOPS) - 1)
    low = np.minimum(at.astype(int), len(_STOPS) - 2)
    share = (at - low)[..., None]
    colours: NDArray[np.uint8] = ((1 - share) * _STOPS[low] + share * _STOPS[low + 1]).astype(np.uint8)
    return colours


def _grid(tokens: int, picture: Image.Image) -> tuple[int, int]:
    """Rows and columns of a square-patch grid of so many tokens over the picture."""
    rows = round(math.sqrt(tokens * picture.height / picture.width))
    if rows < 1 or rows * (tokens // rows) != tokens:
        size = f"{tokens} tokens over {picture.width} x {picture.height} pixels"
        raise ApETError("picture", size, "tokens that form a grid of square patches")
    return rows, tokens // rows


def draw_overlay(picture: Image.Image, result: ImageResult) -> Image.Image:
    """Two panels side by side: the picture with dropped patches dimmed, and the error of every patch.

    In the error panel kept patches have a light frame and the basis tokens a dot; the scale below runs from
    zero to the largest error.

    Args:
        picture: What the model saw.
        result: What the session tells about it.

    Returns:
        An RGB picture.

    Raises:
        ApETError: If the tokens do not form a grid over the picture.
    """
    rows, columns = _grid(result.tokens, picture)
    cell = max(math.ceil(_SIDE / rows), 4)
    size = (columns * cell, rows * cell)
    large = picture.resize(size, Image.Resampling.BICUBIC)
    kept = np.zeros(result.tokens, bool)
    kept[result.indices.cpu().numpy()] = True
    left = _dimmed(large, kept.reshape(rows, columns), cell)
    errors = np.zeros(result.tokens, np.float32)
    basis = np.zeros(0, int)
    if result.stage1 is not None:
        errors[result.stage1.candidates.cpu().numpy()] = result.stage1.errors.cpu().numpy()
        basis = result.stage1.basis.cpu().numpy()
    right = _heat(errors, kept, basis, columns, cell)
    gap, foot = 12, 44
    canvas = Image.new("RGB", (2 * size[0] + 3 * gap, size[1] + gap + foot), "white")
    canvas.paste(left, (gap, gap))
    canvas.paste(right, (size[0] + 2 * gap, gap))
    _caption(canvas, result, float(errors.max(initial=0)), gap, size)
    return canvas


def _dimmed(picture: Image.Image, kept: NDArray[np.bool_], cell: int) -> Image.Image:
    pixels = np.asarray(picture, np.float32)
    clear = kept.repeat(cell, 0).repeat(cell, 1)[..., None]
    grey = pixels.mean(-1, keepdims=True)
    return Image.fromarray(np.where(clear, pixels, 0.22 * grey + 0.08 * pixels + 18).astype(np.uint8))


def _heat(
    errors: NDArray[np.float32], kept: NDArray[np.bool_], basis: NDArray[np.int64], columns: int, cell: int
) -> Image.Image:
    top = max(float(errors.max(initial=0)), 1e-12)
    colours = heat_colours(errors.reshape(-1, columns) / top).repeat(cell, 0).repeat(cell, 1)
    image = Image.fromarray(colours)
    pen = ImageDraw.Draw(image)
    for token in np.flatnonzero(kept):
        y, x = divmod(int(token), columns)
        pen.rectangle((x * cell, y * cell, (x + 1) * cell - 1, (y + 1) * cell - 1), outline=(235, 235, 235))
    for token in basis:
        y, x = divmod(int(token), columns)
        middle, reach = cell // 2, max(cell // 5, 1)
        box = (
            x * cell + middle - reach,
            y * cell + middle - reach,
            x * cell + middle + reach,
            y * cell + middle + reach,
        )
        pen.ellipse(box, fill=(64, 220, 255))
    return image


def _caption(canvas: Image.Image, result: ImageResult, top: float, gap: int, size: tuple[int, int]) -> None:
    pen = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(15)
    y = size[1] + gap + 10
    words = f"{result.tokens_stage1} of {result.tokens} visual tokens kept"
    if result.stage2 is not None:
        words += f", {result.tokens_stage2} after stage 2"
    pen.text((gap, y), words, fill=(30, 30, 30), font=font)
    x, width = size[0] + 2 * gap, min(160, size[0] // 3)
    scale = heat_colours(np.linspace(0, 1, width, dtype=np.float32)[None, :].repeat(12, 0))
    canvas.paste(Image.fromarray(scale), (x + 60, y + 3))
    pen.text((x, y), "error 0", fill=(30, 30, 30), font=font)
    pen.text((x + width + 68, y), f"{top:.3g}   frame: kept   dot: basis", fill=(30, 30, 30), font=font)
