"""Masks of printed capitals and digits, from the font that Pillow carries."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont


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
