"""Lettering: fonts, the colour scale and the legend under panels."""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from apet.core.words import figure
from apet.pictures.colours import BASIS, FAINT, INK, PAPER, heat_colours

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
