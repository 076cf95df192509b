"""Draws a scene as pixels: textured background, shaded shapes, printed text."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from apet.scenes.masks import char_pitch, glyph_mask, line_height, shape_mask
from apet.scenes.scene import Region, Scene, Shape, Text
from apet.scenes.vocabulary import COLOURS

Pixels = NDArray[np.float32]


def _smooth_noise(rng: np.random.Generator, height: int, width: int, cell: int) -> Pixels:
    """Noise in [-1, 1] that varies over ``cell`` pixels, shape ``(height, width)``."""
    coarse = rng.uniform(-1, 1, (height // cell + 2, width // cell + 2)).astype(np.float32)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image, dtype=np.float32)


def background(rng: np.random.Generator, light: bool, region: Region) -> Pixels:
    """A muted colour under clouds, stripes or checks, and grain: ``(height, width, 3)`` in 0..255."""
    left, top, right, bottom = region.box
    height, width = bottom - top, right - left
    base = rng.uniform(150, 205) if light else rng.uniform(50, 105)
    colour = (base + rng.uniform(-16, 16, 3)).astype(np.float32)
    tint = rng.uniform(0.6, 1.0, 3).astype(np.float32)
    pattern = np.float32(rng.uniform(6, 24)) * _smooth_noise(rng, height, width, int(rng.integers(12, 70)))
    style = rng.random()
    if style < 0.6:
        angle, period = rng.uniform(0, np.pi), rng.uniform(7, 40)
        x = np.arange(left, right, dtype=np.float32)[None, :] * np.float32(np.cos(angle) * 2 * np.pi / period)
        y = np.arange(top, bottom, dtype=np.float32)[:, None] * np.float32(np.sin(angle) * 2 * np.pi / period)
        wave = np.sin(x + y) if style < 0.35 else np.sin(x) * np.sin(y + x * np.float32(0.3))
        pattern = pattern + np.float32(rng.uniform(4, 20)) * np.sign(wave) * np.minimum(np.abs(wave) * 3, 1)
    grain = rng.integers(0, 256, (height, width), dtype=np.uint8).astype(np.float32) - np.float32(127.5)
    pattern = pattern + np.float32(rng.uniform(0.02, 0.12)) * grain
    return colour + pattern[..., None] * tint


def blend(canvas: Pixels, mask: Pixels, colour: Pixels, left: int, top: int) -> None:
    """Paints ``colour`` (3,) or (h, w, 3) through ``mask`` (h, w) at a place that lies inside the canvas."""
    area = canvas[top : top + mask.shape[0], left : left + mask.shape[1]]
    area += mask[: area.shape[0], : area.shape[1], None] * (
        (colour if colour.ndim == 1 else colour[: area.shape[0], : area.shape[1]]) - area
    )


def jittered(rng: np.random.Generator, name: str) -> Pixels:
    """A named colour, a little off: ``(3,)`` in 0..255."""
    return np.asarray(COLOURS[name], np.float32) + rng.uniform(-12, 12, 3).astype(np.float32)


def draw_shape(rng: np.random.Generator, canvas: Pixels, shape: Shape, region: Region) -> None:
    """Paints a shape, a little shaded, on the canvas of a region."""
    mask = shape_mask(shape.shape, shape.radius, shape.angle)
    side, reach = mask.shape[0], mask.shape[0] // 2
    slope = rng.uniform(-14, 14, 2).astype(np.float32)
    axis = np.linspace(-1, 1, side, dtype=np.float32)
    shade = slope[0] * axis[:, None] + slope[1] * axis[None, :]
    colour = jittered(rng, shape.colour) + shade[..., None]
    left, top = round(shape.x) - reach - region.box[0], round(shape.y) - reach - region.box[1]
    # A mask may reach one pixel over the region's edge by rounding.
    cut_left, cut_top = max(-left, 0), max(-top, 0)
    blend(canvas, mask[cut_top:, cut_left:], colour[cut_top:, cut_left:], left + cut_left, top + cut_top)


def draw_text(rng: np.random.Generator, canvas: Pixels, text: Text, light: bool, region: Region) -> None:
    """Prints a text, on its plate if it has one, on the canvas of a region."""
    left, top = text.left - region.box[0], text.top - region.box[1]
    pitch, height = char_pitch(text.size), line_height(text.size)
    if text.plate:
        tone = rng.uniform(15, 50) if light else rng.uniform(205, 245)
        plate = (tone + rng.uniform(-8, 8, 3)).astype(np.float32)
        mask = np.full((height + 8, pitch * len(text.text) + 8), 0.94, np.float32)
        blend(canvas, mask, plate, left - 4, top - 4)
    ink = jittered(rng, text.colour)
    print_text(canvas, text.text, ink, left, top, text.size)


def print_text(canvas: Pixels, text: str, ink: Pixels, left: int, top: int, size: int) -> None:
    """Prints capitals, digits and signs at a place inside the canvas."""
    for i, char in enumerate(text):
        if char != " ":
            blend(canvas, glyph_mask(char, size), ink, left + i * char_pitch(size), top)


def finish(canvas: Pixels) -> NDArray[np.uint8]:
    """The canvas as pixels."""
    pixels: NDArray[np.uint8] = np.clip(canvas + np.float32(0.5), 0, 255).astype(np.uint8)
    return pixels


def draw(scene: Scene) -> NDArray[np.uint8]:
    """Draws a region as RGB pixels, ``(14 * rows, 14 * columns, 3)``: 336 x 336 for a whole picture."""
    rng = np.random.default_rng(scene.seed)
    canvas = background(rng, scene.light, scene.region)
    for text in scene.texts:
        draw_text(rng, canvas, text, scene.light, scene.region)
    for shape in scene.shapes:
        draw_shape(rng, canvas, shape, scene.region)
    return finish(canvas)
