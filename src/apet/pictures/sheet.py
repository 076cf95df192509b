"""Panels with their titles, put together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from PIL import Image, ImageDraw

from apet.pictures.decisions import Decision
from apet.pictures.geometry import TokenGrid
from apet.pictures.panels import PANELS
from apet.pictures.style import FAINT, INK, LEGEND_HEIGHT, PAPER, draw_legend, font, text_width

_EDGE, _GAP = 16, 18
_TITLE, _CAPTION = 26, 22
_WIDEST = 1600
"""Pixels: about what a screen shows at once."""
_T = TypeVar("_T")


@dataclass(frozen=True)
class Column:
    """One compression on a sheet: a decision, where its tokens lie on a panel, and its title, if any."""

    decision: Decision
    grid: TokenGrid
    label: str = ""


def draw_sheet(
    frames: Sequence[Image.Image], columns: Sequence[Column], panels: Sequence[str]
) -> Image.Image:
    """Draws the panels of one compression in a row; those of several as one column each.

    What would be wider than `_WIDEST` goes on below.
    """
    top = max(float(column.decision.errors.max(initial=0)) for column in columns)
    if len(columns) == 1:
        rows = [[(name, columns[0]) for name in row] for row in _lines(panels, columns[0].grid.size[0])]
        sheets = [_draw(frames, rows, columns, top)]
    else:
        widest = max(column.grid.size[0] for column in columns)
        sheets = [
            _draw(frames, [[(name, one) for one in some] for name in panels], some, top)
            for some in _lines(columns, widest)
        ]
    height = sum(sheet.height for sheet in sheets) - _EDGE * (len(sheets) - 1)
    whole = Image.new("RGB", (max(sheet.width for sheet in sheets), height), PAPER)
    y = 0
    for sheet in sheets:
        whole.paste(sheet, (0, y))
        y += sheet.height - _EDGE
    return whole


def _lines(things: Sequence[_T], width: int) -> list[Sequence[_T]]:
    """So many things of a width to a line as can be read, and about as many in each."""
    most = max(1, (_WIDEST - 2 * _EDGE + _GAP) // (width + _GAP))
    each = math.ceil(len(things) / math.ceil(len(things) / most))
    return [things[start : start + each] for start in range(0, len(things), each)]


def _draw(
    frames: Sequence[Image.Image],
    cells: Sequence[Sequence[tuple[str, Column]]],
    columns: Sequence[Column],
    top: float,
) -> Image.Image:
    """Draws rows of panels under the titles of the columns; errors go up to ``top``."""
    across = max(len(row) for row in cells)
    widths = [
        max(row[number][1].grid.size[0] for row in cells if number < len(row)) for number in range(across)
    ]
    heights = [max(column.grid.size[1] for _, column in row) for row in cells]
    feet = [LEGEND_HEIGHT if any(name == "error" for name, _ in row) else 0 for row in cells]
    height = 2 * _EDGE + _TITLE + sum(_CAPTION + h + foot for h, foot in zip(heights, feet, strict=True))
    height += _GAP * (len(cells) - 1)
    titles = [": ".join(filter(None, (column.label, column.decision.words))) for column in columns]
    width = 2 * _EDGE + sum(widths) + _GAP * (across - 1)
    width = max(width, 2 * _EDGE + text_width(titles[0], 17)) if len(titles) == 1 else width
    sheet = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(sheet)
    lefts = [_EDGE + sum(widths[:number]) + _GAP * number for number in range(across)]
    for title, left in zip(titles, lefts, strict=False):
        pen.text((left, _EDGE + 8), title, fill=INK, font=font(17), anchor="lm")
    y = _EDGE + _TITLE
    for row, high, foot in zip(cells, heights, feet, strict=True):
        for (name, column), left in zip(row, lefts, strict=False):
            caption, paint = PANELS[name]
            caption = column.decision.measure if name == "error" else caption
            pen.text((left, y + 8), caption, fill=FAINT, font=font(14), anchor="lm")
            sheet.paste(paint(frames, column.grid, column.decision, top), (left, y + _CAPTION))
            if name == "error":
                below, wide = y + _CAPTION + high, column.grid.size[0]
                draw_legend(sheet, left, below, wide, top, basis=len(column.decision.basis) > 0)
        y += _CAPTION + high + foot + _GAP
    return sheet
