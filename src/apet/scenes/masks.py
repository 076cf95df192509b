"""Anti-aliased masks of what is drawn: shapes, from signed distances, and printed capitals and digits."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Plane = NDArray[np.float32]


def _circle(u: Plane, v: Plane) -> Plane:
    radius: Plane = np.hypot(u, v)
    return radius - np.float32(1)


def _square(u: Plane, v: Plane) -> Plane:
    larger: Plane = np.maximum(np.abs(u), np.abs(v))
    return larger - np.float32(0.76)


def _triangle(u: Plane, v: Plane) -> Plane:
    # An upright triangle: one horizontal edge below, two edges that meet at the top.
    sides: Plane = np.float32(0.866) * np.abs(u) - np.float32(0.5) * v
    distance: Plane = np.maximum(v, sides) - np.float32(0.5)
    return distance


def _diamond(u: Plane, v: Plane) -> Plane:
    across: Plane = np.abs(u)
    down: Plane = np.abs(v)
    return np.float32(0.82) * across + np.float32(0.57) * down - np.float32(0.57)


def _cross(u: Plane, v: Plane) -> Plane:
    a, b = np.abs(u), np.abs(v)
    long, wide = np.float32(0.94), np.float32(0.32)
    return np.minimum(np.maximum(a - long, b - wide), np.maximum(b - long, a - wide))


def _star(u: Plane, v: Plane) -> Plane:
    # Fold the angle into half a point; its edge runs from the tip at radius 1 to the notch at radius 0.42.
    half = np.float32(np.pi / 5)
    angle = np.abs(np.mod(np.arctan2(u, -v) + half, 2 * half) - half)
    radius = np.hypot(u, v)
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    notch_x, notch_y = np.float32(0.42) * np.cos(half), np.float32(0.42) * np.sin(half)
    normal_x, normal_y = notch_y, 1 - notch_x
    return np.asarray(((x - 1) * normal_x + y * normal_y) / np.hypot(normal_x, normal_y), np.float32)


def _ring(u: Plane, v: Plane) -> Plane:
    return np.asarray(np.abs(np.hypot(u, v) - np.float32(0.74)) - np.float32(0.26), np.float32)


def _moon(u: Plane, v: Plane) -> Plane:
    hole = np.float32(0.86) - np.hypot(u - np.float32(0.5), v)
    return np.asarray(np.maximum(np.hypot(u, v) - 1, hole), np.float32)


_DISTANCE: dict[str, Callable[[Plane, Plane], Plane]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "diamond": _diamond,
    "cross": _cross,
    "star": _star,
    "ring": _ring,
    "moon": _moon,
}


def shape_mask(shape: str, radius: float, angle: float) -> Plane:
    """Coverage in [0, 1] of one of ``vocabulary.SHAPES``, on the smallest square that holds it.

    ``radius`` is in pixels, ``angle`` in radians; the square has ``2 * ceil(radius) + 1`` pixels a side.
    """
    reach = int(np.ceil(radius))
    axis = np.arange(-reach, reach + 1, dtype=np.float32) / np.float32(radius)
    x, y = axis[None, :], axis[:, None]
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    distance = _DISTANCE[shape](cos * x + sin * y, cos * y - sin * x)
    return np.asarray(np.clip(np.float32(0.5) - distance * np.float32(radius), 0, 1), np.float32)


def char_pitch(size: int) -> int:
    """Width in pixels of the cell of one character at font size ``size``."""
    return round(0.76 * size) + 1


def line_height(size: int) -> int:
    """Height in pixels of the cell of one character at font size ``size``."""
    return round(0.74 * size) + 2


@lru_cache(maxsize=64)
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):  # pragma: no cover - Pillow's wheels carry FreeType
        raise RuntimeError("printed text needs a Pillow built with FreeType")
    return font


@lru_cache(maxsize=4096)
def glyph_mask(char: str, size: int) -> NDArray[np.float32]:
    """Coverage in [0, 1] of a capital or digit, centred in ``(line_height(size), char_pitch(size))``."""
    font = _font(size)
    left, top, right, bottom = (int(edge) for edge in font.getbbox(char))
    ink = Image.new("L", (right - left, bottom - top), 0)
    ImageDraw.Draw(ink).text((-left, -top), char, fill=255, font=font)
    width, height = char_pitch(size), line_height(size)
    wide, high = min(ink.width, width - 1), min(ink.height, height)
    if (wide, high) != ink.size:
        ink = ink.resize((wide, high), Image.Resampling.BILINEAR)
    cell = Image.new("L", (width, height), 0)
    cell.paste(ink, ((width - wide) // 2, (height - high) // 2))
    mask = np.asarray(cell, dtype=np.float32) / np.float32(255)
    mask.flags.writeable = False
    return mask
