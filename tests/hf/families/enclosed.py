"""What processors put around the tiles of an image, with ids of this vocabulary in place of theirs.

Each function gets the placeholders of every tile and returns the image's tokens. Ids from 38 to 57 stand for
names of tiles and separators; text may use them as well.
"""

from __future__ import annotations

from itertools import chain

from tests.hf.families.recipe import END, START

Tiles = list[list[int]]
BREAK, VIEW, GRID, STOP = 39, 38, 57, 56


def together(tiles: Tiles) -> list[int]:
    """InternVL, Qianfan-OCR, GOT-OCR2: all tiles between a start and an end."""
    return [START, *chain(*tiles), END]


def named(tiles: Tiles) -> list[int]:
    """Aya Vision and LFM2-VL: each tile behind its name, the last one behind that of the view."""
    names = [*range(40, 39 + len(tiles)), VIEW]
    return [START, *chain(*([name, *tile] for name, tile in zip(names, tiles, strict=True))), END]


def named_if_several(tiles: Tiles) -> list[int]:
    """LFM2-VL: as `named`, but an image of one tile has no name."""
    return named(tiles) if len(tiles) > 1 else together(tiles)


def broken(tiles: Tiles) -> list[int]:
    """Command A Vision: a line break behind each tile."""
    return [START, *chain(*([*tile, BREAK] for tile in tiles)), END]


def separated(tiles: Tiles) -> list[int]:
    """Llama 4: separators of columns and rows behind tiles, and a view at the end."""
    *local, view = tiles
    marks = [40] * (len(local) - 1) + [41]
    return [
        START,
        *chain(*([*tile, mark] for tile, mark in zip(local, marks, strict=False))),
        VIEW,
        *view,
        END,
    ]


def gridded(tiles: Tiles) -> list[int]:
    """Ovis2: a view, then a grid of tiles with separators."""
    view, *local = tiles
    return [START, *view, GRID, *list(chain(*([*tile, END] for tile in local)))[:-1], STOP]


def view_last(tiles: Tiles) -> list[int]:
    """Idefics3 and SmolVLM: tiles behind their names in rows of two, then a view behind its name."""
    *local, view = tiles
    rows = ([START, 40 + number, *tile, *[BREAK] * (number % 2)] for number, tile in enumerate(local))
    return [*chain(*rows), *[BREAK] * (len(local) > 0), START, VIEW, *view, START]


def first_named(tiles: Tiles) -> list[int]:
    """Granite for Docling: as `view_last`, but an image of one tile has that tile alone and no view."""
    return view_last(tiles) if len(tiles) > 1 else [START, 40, *tiles[0], BREAK]


def sliced(tiles: Tiles) -> list[int]:
    """MiniCPM-V: a view, then slices between tokens of their own."""
    view, *local = tiles
    return [START, *view, END, *chain(*([41, *tile, 42] for tile in local))]


def alike(tiles: Tiles) -> list[int]:
    """Idefics2: the same token before, behind and between tiles."""
    return [START, *chain(*([*tile, START] for tile in tiles))]
