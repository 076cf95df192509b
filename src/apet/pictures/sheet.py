"""Panels with their titles, put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from apet.pictures.colours import FAINT, INK, PAPER
from apet.pictures.decisions import Decision
from apet.pictures.geometry import TokenGrid
from apet.pictures.panels import PANELS
from apet.pictures.words import LEGEND_HEIGHT, draw_legend, font, text_width

__all__ = ["Column", "draw_sheet"]

_EDGE, _GAP = 16, 18
_TITLE, _CAPTION = 26, 22


@dataclass(frozen=True)
class Column:
    """One compression on a sheet.

    Attributes:
        decision: What it decided.
        grid: Where its tokens lie on a panel.
        label: Its title; may be empty.
    """

    decision: Decision
    grid: TokenGrid
    label: str = ""


def draw_sheet(
    frames: Sequence[Image.Image], columns: Sequence[Column], panels: Sequence[str]
) -> Image.Image:
    """Draws the panels of one compression in a row; those of several as one column each."""
    top = max(float(column.decision.errors.max(initial=0)) for column in columns)
    single = len(columns) == 1
    cells = [
        [(name, column) for name in panels] if single else [(name, one) for one in columns]
        for name, column in ([("", columns[0])] if single else [(name, columns[0]) for name in panels])
    ]
    widths = [max(row[number][1].grid.size[0] for row in cells) for number in range(len(cells[0]))]
    heights = [max(column.grid.size[1] for _, column in row) for row in cells]
    feet = [LEGEND_HEIGHT if any(name == "error" for name, _ in row) else 0 for row in cells]
    height = 2 * _EDGE + _TITLE + sum(_CAPTION + h + foot for h, foot in zip(heights, feet, strict=True))
    height += _GAP * (len(cells) - 1)
    width = 2 * _EDGE + sum(widths) + _GAP * (len(widths) - 1)
    titles = [_title(column) for column in columns]
    width = max(width, 2 * _EDGE + text_width(titles[0], 17)) if single else width
    sheet = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(sheet)
    lefts = [_EDGE + sum(widths[:number]) + _GAP * number for number in range(len(widths))]
    for title, left in zip(titles, lefts, strict=False):
        pen.text((left, _EDGE + 8), title, fill=INK, font=font(17), anchor="lm")
    y = _EDGE + _TITLE
    for row, high, foot in zip(cells, heights, feet, strict=True):
        for (name, column), left in zip(row, lefts, strict=True):
            caption, paint = PANELS[name]
            pen.text((left, y + 8), caption, fill=FAINT, font=font(14), anchor="lm")
            sheet.paste(paint(frames, column.grid, column.decision, top), (left, y + _CAPTION))
            if name == "error":
                below, wide = y + _CAPTION + high, column.grid.size[0]
                draw_legend(sheet, left, below, wide, top, basis=len(column.decision.basis) > 0)
        y += _CAPTION + high + foot + _GAP
    return sheet


def _title(column: Column) -> str:
    return f"{column.label}: {column.decision.words}" if column.label else column.decision.words
