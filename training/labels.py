"""What every patch of a scene shows: the dense targets that teach a vision encoder."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apet.scenes.masks import char_pitch, line_height, shape_mask
from apet.scenes.scene import PATCH, Scene
from apet.scenes.vocabulary import COLOURS, LETTERS, SHAPES

CHARS = LETTERS + "0123456789"
IGNORE = -100
"""Target of patches for which a question has no answer, as in ``torch.nn.functional.cross_entropy``."""

_COLOUR_IDS = {name: i for i, name in enumerate(COLOURS)}
_SHAPE_IDS = {name: i for i, name in enumerate(SHAPES)}
_CHAR_IDS = {char: i for i, char in enumerate(CHARS)}
_LEAST_PIXELS = 24


@dataclass(frozen=True)
class PatchLabels:
    """Class of every patch, each ``(rows * columns,)`` int64 in raster order.

    ``kind`` is 0 for background, 1 for a shape, 2 for text. ``shape``, ``char`` and ``place`` (the
    character's number in its text) are ``IGNORE`` where they do not apply; so are ``row`` and ``column``, the
    patch of the whole picture that holds the centre of the shape seen here. ``anchor`` is 1 for that one
    patch of each shape.
    """

    kind: NDArray[np.int64]
    colour: NDArray[np.int64]
    shape: NDArray[np.int64]
    char: NDArray[np.int64]
    place: NDArray[np.int64]
    row: NDArray[np.int64]
    column: NDArray[np.int64]
    anchor: NDArray[np.int64]


def _owners(scene: Scene) -> tuple[NDArray[np.int16], list[tuple[int, ...]]]:
    """A map of pixels to their owner (0: background), and each owner's labels as in ``PatchLabels``."""
    left, top, right, bottom = scene.region.box
    owner = np.zeros((bottom - top, right - left), np.int16)
    rows: list[tuple[int, ...]] = [(0, *[IGNORE] * 6)]
    for text in scene.texts:
        pitch, height = char_pitch(text.size), line_height(text.size)
        for i, char in enumerate(text.text):
            x, y = text.left - left + i * pitch, text.top - top
            owner[y : y + height, x : x + pitch] = len(rows)
            rows.append((2, _COLOUR_IDS[text.colour], IGNORE, _CHAR_IDS[char], i, IGNORE, IGNORE))
    for shape in scene.shapes:
        inside = shape_mask(shape.shape, shape.radius, shape.angle) > 0.5
        reach = inside.shape[0] // 2
        x, y = round(shape.x) - reach - left, round(shape.y) - reach - top
        inside = inside[max(-y, 0) :, max(-x, 0) :]
        area = owner[max(y, 0) : y + 2 * reach + 1, max(x, 0) : x + 2 * reach + 1]
        area[inside[: area.shape[0], : area.shape[1]]] = len(rows)
        centre = int(shape.y // PATCH), int(shape.x // PATCH)
        rows.append((1, _COLOUR_IDS[shape.colour], _SHAPE_IDS[shape.shape], IGNORE, IGNORE, *centre))
    return owner, rows


def patch_labels(scene: Scene) -> PatchLabels:
    """Labels of the patches of a scene's region, by the object that covers most of each."""
    owner, rows = _owners(scene)
    height, width = owner.shape[0] // PATCH, owner.shape[1] // PATCH
    patch = np.arange(height).repeat(PATCH)[:, None] * width + np.arange(width).repeat(PATCH)[None, :]
    counts = np.bincount((patch * len(rows) + owner).ravel(), minlength=height * width * len(rows))
    counts = counts.reshape(height * width, len(rows))
    counts[:, 0] = _LEAST_PIXELS
    winner = counts.argmax(1)
    table = np.asarray(rows, np.int64)[winner]
    anchor = np.zeros(height * width, np.int64)
    for shape in scene.shapes:
        row, column = int(shape.y // PATCH) - scene.region.row, int(shape.x // PATCH) - scene.region.column
        anchor[row * width + column] = 1
    kind, colour, shape_ids, char, place, row_ids, column_ids = table.T
    return PatchLabels(kind, colour, shape_ids, char, place, row_ids, column_ids, anchor)
