"""Colours and lettering: fonts, the colour scale, and the legend under panels."""

from __future__ import annotations

import colorsys
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from apet.core.words import figure

PAPER = (255, 255, 255)
INK = (32, 36, 44)
FAINT = (112, 118, 130)
BASIS = (56, 214, 255)
KEPT = (243, 146, 44)
DROPPED = (188, 193, 204)
CUT = (196, 40, 72)

_STOPS = np.asarray(
    [(12, 10, 38), (66, 18, 106), (140, 41, 99), (207, 68, 70), (248, 134, 40), (252, 228, 146)], np.float32
)
"""A dark-to-light scale: small errors dark, large ones bright."""
_TURN = 0.618034
"""Hues a golden section apart stay apart however many there are."""


def heat_colours(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Colours ``(.., 3)`` of values in [0, 1]."""
    at = np.clip(values, 0, 1) * (len(_STOPS) - 1)
    low = np.minimum(at.astype(int), len(_STOPS) - 2)
    share = (at - low)[..., None]
    colours: NDArray[np.uint8] = ((1 - share) * _STOPS[low] + share * _STOPS[low + 1]).astype(np.uint8)
    return colours


def region_colours(count: int) -> NDArray[np.float32]:
    """``(count, 3)`` different colours, neighbours in number far apart."""
    colours = [
        colorsys.hls_to_rgb((0.58 + number * _TURN) % 1, (0.56, 0.66, 0.48)[number % 3], 0.62)
        for number in range(count)
    ]
    return (np.asarray(colours, np.float32) * 255).reshape(count, 3)


LEGEND_HEIGHT = 30


@cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font, so that pictures look alike everywhere."""
    return ImageFont.load_default(size)


def text_width(text: str, size: int) -> int:
    """Width of a line, in pixels."""
    return int(np.ceil(ImageDraw.Draw(Image.new("L", (1, 1))).textlength(text, font=font(size))))


def draw_legend(canvas: Image.Image, left: int, top: int, width: int, most: float, *, basis: bool) -> None:
    """The scale from zero to the largest error, and what frame and dot mean."""
    pen = ImageDraw.Draw(canvas)
    middle = top + LEGEND_HEIGHT // 2
    text, small = font(13), 13
    x = left
    pen.text((x, middle), "0", fill=INK, font=text, anchor="lm")
    x += text_width("0", small) + 6
    bar = min(150, width // 3)
    scale = heat_colours(np.linspace(0, 1, bar, dtype=np.float32)[None, :].repeat(10, 0))
    canvas.paste(Image.fromarray(scale), (x, middle - 5))
    x += bar + 6
    pen.text((x, middle), figure(most), fill=INK, font=text, anchor="lm")
    x += text_width(figure(most), small) + 20
    if left + width - x < 60:
        return
    pen.rectangle((x, middle - 6, x + 11, middle + 5), fill=(150, 48, 96), outline=PAPER, width=1)
    pen.rectangle((x - 1, middle - 7, x + 12, middle + 6), outline=FAINT)
    pen.text((x + 18, middle), "kept", fill=INK, font=text, anchor="lm")
    x += 18 + text_width("kept", small) + 18
    if basis and left + width - x > 60:
        pen.ellipse((x, middle - 5, x + 9, middle + 4), fill=BASIS, outline=INK)
        pen.text((x + 16, middle), "basis", fill=INK, font=text, anchor="lm")
