"""One panel each: what is kept, the error as a heat map, and what merged into what."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from apet.pictures.decisions import Decision
from apet.pictures.geometry import TokenGrid
from apet.pictures.style import BASIS, FAINT, INK, PAPER, font, heat_colours, region_colours

_LUMA = np.asarray((0.299, 0.587, 0.114), np.float32)


def kept_panel(frames: Sequence[Image.Image], grid: TokenGrid, decision: Decision, top: float) -> Image.Image:
    """The picture with kept patches clear and dropped ones dimmed."""
    pixels, on = _canvas(frames, grid)
    clear = _spread(decision.kept, grid, fill=False).astype(bool)
    grey = (pixels @ _LUMA)[..., None]
    dim = 0.28 * grey + 0.10 * pixels + 10
    pixels = np.where((clear | ~on)[..., None], pixels, dim)
    pixels[_outline(clear) & on] = PAPER
    return _finished(pixels, grid)


def error_panel(
    frames: Sequence[Image.Image], grid: TokenGrid, decision: Decision, top: float
) -> Image.Image:
    """The error of every token, from zero to ``top``; kept tokens are framed, and basis tokens have a dot."""
    pixels, on = _canvas(frames, grid)
    heat = heat_colours((decision.errors / max(top, 1e-12)).astype(np.float32)).astype(np.float32)
    if not decision.errors.any():  # a method that computes none, beside one that does
        heat[:] = FAINT
    pixels = np.where(on[..., None], _spread(heat, grid, fill=0), pixels)
    pixels[_outline(_spread(decision.kept, grid, fill=False)) & on] = PAPER
    image = _finished(pixels, grid)
    mark_basis(image, grid, decision.basis)
    return image


def merged_panel(
    frames: Sequence[Image.Image], grid: TokenGrid, decision: Decision, top: float
) -> Image.Image:
    """One colour for a kept token and those that merged into it; a token that took none stays as it is.

    The kept token of a region has a white frame.
    """
    pixels, on = _canvas(frames, grid)
    # The last count is that of no slot, -1: of tokens that went nowhere, and of pixels without a token.
    counts = np.bincount(decision.slots[decision.slots >= 0], minlength=int(decision.kept.sum()) + 1)
    several = np.flatnonzero(counts > 1)
    colours = np.zeros((len(counts), 3), np.float32)
    # The largest regions get the first colours, which differ most.
    colours[several[np.argsort(-counts[several], kind="stable")]] = region_colours(len(several))
    slot = _spread(decision.slots, grid, fill=-1)
    joined = on & (counts > 1)[slot]
    grey = (pixels @ _LUMA)[..., None]
    tinted = colours[slot] * (0.62 + 0.38 * grey / 255)
    pixels = np.where(joined[..., None], 0.78 * tinted + 0.22 * grey, pixels)
    pixels[_edges(np.where(joined, slot, -1)) & joined] *= 0.55  # borders tell regions without their colours
    head = _spread(decision.kept, grid, fill=False) & joined
    pixels[_edges(np.where(head, grid.tokens, -1)) & head] = PAPER
    return _finished(pixels, grid)


Painter = Callable[[Sequence[Image.Image], TokenGrid, Decision, float], Image.Image]
PANELS: dict[str, tuple[str, Painter]] = {
    "kept": ("what is kept", kept_panel),
    "error": ("approximation error", error_panel),
    "merged": ("what merged into what", merged_panel),
}
"""Panels over the picture: what to write over each, and who draws it."""


def mark_basis(image: Image.Image, grid: TokenGrid, basis: NDArray[np.int64]) -> None:
    """Puts a dot into every basis token."""
    pen = ImageDraw.Draw(image)
    for left, top, right, bottom in grid.boxes[basis].tolist():
        x, y, reach = (
            (left + right - 1) / 2,
            (top + bottom - 1) / 2,
            max(min(right - left, bottom - top) / 4, 1),
        )
        pen.ellipse(
            (x - reach, y - reach, x + reach, y + reach), fill=BASIS, outline=INK if reach > 3 else None
        )


def _canvas(frames: Sequence[Image.Image], grid: TokenGrid) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The pictures at their places on paper, and which pixels belong to a token."""
    canvas = Image.new("RGB", grid.size, PAPER)
    groups = 1 + max(view.frame for view in grid.views) if len(frames) > 1 else 1
    for view in grid.views:
        left, top, right, bottom = view.box
        frame = frames[view.frame * len(frames) // max(groups, 1)] if len(frames) > 1 else frames[0]
        canvas.paste(_cut(frame, view.area, (right - left, bottom - top)), (left, top))
    return np.asarray(canvas, np.float32).copy(), grid.tokens >= 0


def _cut(picture: Image.Image, area: tuple[float, ...], size: tuple[int, int]) -> Image.Image:
    """A part of a picture in another size, with black padding where it reaches beyond."""
    width, height = picture.size
    left, right = area[0] * width, area[2] * width
    top, bottom = area[1] * height, area[3] * height
    over = math.ceil(max(0, -left, -top, right - width, bottom - height))
    if over:
        picture = ImageOps.expand(picture, over)
    box = (left + over, top + over, right + over, bottom + over)
    return picture.resize(size, Image.Resampling.LANCZOS, box=box)


def _spread(values: NDArray[np.generic], grid: TokenGrid, fill: object) -> NDArray[np.generic]:
    """Values of tokens at every pixel, and ``fill`` where there is no token."""
    extended = np.concatenate([values, np.full_like(values[:1], fill)])
    return extended[grid.tokens]


def _edges(labels: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Pixels on either side of a border between labels, and those on the rim."""
    edges = np.zeros(labels.shape, bool)
    across, down = labels[:, 1:] != labels[:, :-1], labels[1:] != labels[:-1]
    edges[:, 1:] |= across
    edges[:, :-1] |= across
    edges[1:] |= down
    edges[:-1] |= down
    edges[[0, -1]] = edges[:, [0, -1]] = True
    return edges


def _outline(mask: NDArray[np.generic]) -> NDArray[np.bool_]:
    """The pixels of a mask that touch its outside."""
    outline: NDArray[np.bool_] = _edges(mask) & mask.astype(bool)
    return outline


def _finished(pixels: NDArray[np.float32], grid: TokenGrid) -> Image.Image:
    image = Image.fromarray(np.clip(pixels + 0.5, 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    for view in grid.views:
        if view.title:
            pen.text((view.box[0], view.box[1] - 4), view.title, fill=INK, font=font(13), anchor="ls")
    return image
