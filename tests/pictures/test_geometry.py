"""Tokens tile their views: no pixel of a view is without a token, and none has two."""

import numpy as np
import pytest

from apet.core.errors import ApETError
from apet.hf.grid import Grid
from apet.pictures import TokenGrid

SHAPES = {
    "square": ([Grid(24, 24)], 1.0),
    "wide": ([Grid(3, 40)], 13.0),
    "tall": ([Grid(40, 7)], 0.2),
    "tiles": ([Grid(4, 4, title="overview"), Grid(9, 11, 16, 12, title="details")], 1.2),
    "frames": ([Grid(3, 5, 15 * frame, frame=frame, title="f") for frame in range(7)], 1.6),
}


@pytest.mark.parametrize("side", [64, 481])
@pytest.mark.parametrize("name", SHAPES)
def test_tokens_tile_their_views(name, side):
    grids, aspect = SHAPES[name]
    rows = [row for grid in grids for row in range(grid.first, grid.first + 700) if grid.place(row)]
    rows = np.array(sorted(set(rows)))
    grid = TokenGrid.over(grids, rows, aspect, side)
    assert len(grid.views) == len(grids)
    inside = np.zeros((grid.size[1], grid.size[0]), int)
    for left, top, right, bottom in (view.box for view in grid.views):
        inside[top:bottom, left:right] += 1
    assert inside.max() == 1
    assert ((grid.tokens >= 0) == (inside == 1)).all()
    areas = (grid.boxes[:, 2] - grid.boxes[:, 0]) * (grid.boxes[:, 3] - grid.boxes[:, 1])
    assert (np.bincount(grid.tokens[grid.tokens >= 0], minlength=len(rows)) == areas).all()
    for token, (left, top, right, bottom) in enumerate(grid.boxes):
        assert grid.tokens[top, left] == grid.tokens[bottom - 1, right - 1] == token


def test_tokens_outside_of_the_grids_are_refused():
    with pytest.raises(ApETError, match="visual token 4 outside of grids of 2 x 2"):
        TokenGrid.over([Grid(2, 2)], np.arange(5), 1.0, 64)
