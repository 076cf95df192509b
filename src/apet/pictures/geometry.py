"""Which pixels of a panel each visual token covers, and which token is under a pixel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from apet.core.errors import ApETError
from apet.hf.grid import Grid

_GAP = 8
_TITLE = 20
"""Height of the line over a view that has a title."""

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class View:
    """One picture on a panel: a whole image, one of its views, or a frame.

    Attributes:
        box: Left, top, right and bottom in pixels of the panel, the last two exclusive.
        frame: Number of the frame, or of the group of frames that was encoded as one.
        area: Left, top, right and bottom of what is shown, as shares of the picture; beyond 0 and 1
            is padding.
        title: What to write over it; may be empty.
    """

    box: Box
    frame: int = 0
    area: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    title: str = ""


@dataclass(frozen=True, eq=False)
class TokenGrid:
    """Where N visual tokens lie on a panel of pixels.

    Attributes:
        size: Width and height of the panel.
        views: The pictures on it.
        boxes: ``(N, 4)`` int: left, top, right and bottom of each token in pixels of the panel, the last two
            exclusive. Boxes do not overlap.
    """

    size: tuple[int, int]
    views: tuple[View, ...]
    boxes: NDArray[np.int64]

    @classmethod
    def over(cls, grids: Sequence[Grid], rows: NDArray[np.int64], aspect: float, side: int) -> TokenGrid:
        """Lays tokens out: one view per grid, as large as fits, in one or several rows.

        Args:
            grids: Where the feature rows lie on the picture or its frames.
            rows: ``(N,)`` the tokens' feature rows.
            aspect: Width of the picture over its height.
            side: Longest side of a panel with one view, in pixels; a panel of several is larger.

        Raises:
            ApETError: If a token lies in none of the grids.
        """
        across = _views_across(len(grids), aspect)
        room = side * min(math.sqrt(len(grids)), 2)
        width = (room - _GAP * (across - 1)) / across if aspect >= 1 or across > 1 else room * aspect
        sizes = [_pixels(grid, width, aspect) for grid in grids]
        slot = (max(w for w, _ in sizes), max(h for _, h in sizes))
        head = _TITLE if any(grid.title for grid in grids) else 0
        views = []
        for number, (grid, (w, h)) in enumerate(zip(grids, sizes, strict=True)):
            down, right = divmod(number, across)
            left, top = right * (slot[0] + _GAP), down * (slot[1] + head + _GAP) + head
            views.append(View((left, top, left + w, top + h), grid.frame, grid.area, grid.title))
        size = (max(view.box[2] for view in views), max(view.box[3] for view in views))
        return cls(size, tuple(views), _boxes(grids, views, rows))

    @cached_property
    def tokens(self) -> NDArray[np.int64]:
        """``(height, width)``: the number of the token that covers each pixel; -1 where none does."""
        token_at = np.full((self.size[1], self.size[0]), -1, np.int64)
        for token, (left, top, right, bottom) in enumerate(self.boxes):
            token_at[top:bottom, left:right] = token
        return token_at


def _views_across(count: int, aspect: float) -> int:
    """How many views stand side by side, so that the panel comes closest to a square."""
    return min(
        range(1, count + 1), key=lambda across: abs(math.log(across * aspect / math.ceil(count / across)))
    )


def _pixels(grid: Grid, width: float, aspect: float) -> tuple[int, int]:
    """About that width, and the height that goes with it, in whole pixels per token."""
    left, top, right, bottom = grid.area
    height = width / aspect * (bottom - top) / (right - left)
    return grid.columns * max(round(width / grid.columns), 2), grid.rows * max(round(height / grid.rows), 2)


def _boxes(grids: Sequence[Grid], views: Sequence[View], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    boxes = np.zeros((len(rows), 4), np.int64)
    for token, row in enumerate(rows.tolist()):
        found = (
            (grid, view, place) for grid, view in zip(grids, views, strict=True) if (place := grid.place(row))
        )
        grid, view, place = next(found, (None, None, None))
        if grid is None or view is None or place is None:
            shapes = ", ".join(f"{one.rows} x {one.columns}" for one in grids)
            raise ApETError(
                "plot", f"visual token {token} outside of grids of {shapes}", "tokens that fill them"
            )
        left, top, right, bottom = view.box
        wide, high = (right - left) // grid.columns, (bottom - top) // grid.rows
        x, y = left + place[1] * wide, top + place[0] * high
        boxes[token] = x, y, x + wide, y + high
    return boxes
