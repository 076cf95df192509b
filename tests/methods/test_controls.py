"""Grid, pool and norm."""

from __future__ import annotations

import pytest
import torch

from apet.core import ApETError
from apet.methods import Grid, Norm, Pool
from apet.methods.cells import cells


def test_a_square_is_cut_into_squares():
    cell, centres = cells(36, 9, None)
    rows, columns = torch.arange(36) // 6, torch.arange(36) % 6
    assert torch.equal(cell, rows // 2 * 3 + columns // 2)
    assert centres.tolist() == [0, 2, 4, 12, 14, 16, 24, 26, 28]


def test_64_of_576_are_every_third_row_and_column():
    indices = Grid(64).select(torch.randn(1, 576, 4), 64).indices[0]
    assert sorted({i // 24 for i in indices.tolist()}) == list(range(1, 24, 3))
    assert sorted({i % 24 for i in indices.tolist()}) == list(range(1, 24, 3))


def test_a_known_grid_is_followed():
    cell, centres = cells(24, 6, (4, 6))
    rows, columns = torch.arange(24) // 6, torch.arange(24) % 6
    assert torch.equal(cell, rows // 2 * 3 + columns // 2)
    assert centres.tolist() == [0, 2, 4, 12, 14, 16]


def test_other_numbers_are_runs_in_raster_order():
    cell, centres = cells(10, 3, None)
    assert cell.tolist() == [0] * 3 + [1] * 3 + [2] * 4
    assert centres.tolist() == [1, 4, 7]


@pytest.mark.parametrize("grid", [None, (7, 7), (3, 20), (60, 1), (1, 13), (24, 24)])
def test_cells_are_even_for_every_budget(grid):
    total = 50 if grid is None else grid[0] * grid[1]
    for count in range(1, total + 1, 1 if total < 100 else 7):
        cell, centres = cells(total, count, grid)
        assert torch.equal(cell.unique(), torch.arange(count))
        assert (centres.diff() > 0).all()
        assert torch.equal(cell[centres], torch.arange(count))


def test_pool_averages_cells_and_grid_takes_their_centres(tokens):
    square = tokens[:, :36]
    pool, grid = Pool(9).select(square, 9), Grid(9).select(square, 9)
    assert torch.equal(pool.indices, grid.indices)
    picture = square.mT.reshape(3, 16, 6, 6)
    pooled = torch.nn.functional.avg_pool2d(picture, 2).flatten(2).mT
    torch.testing.assert_close(pool.apply(square), pooled)
    assert torch.equal(grid.apply(square, merge=False), square[:, grid.indices[0]])


def test_what_a_grid_must_be():
    for method in (Grid, Pool):
        for grid in ([4, 4], (4,), (0, 4), (True, 4), 4, (2.0, 2)):
            with pytest.raises(ApETError, match=rf"^{method.__name__}: got grid="):
                method(9, grid=grid)


def test_norm_keeps_the_largest(tokens):
    tokens[1, 7] = tokens[1, 30] = 50 * tokens[1, 3]
    decision = Norm(9).select(tokens, 9)
    norms = tokens.norm(dim=-1)
    torch.testing.assert_close(decision.errors, norms)
    kept = norms.gather(1, decision.indices).amin(1)
    assert ((norms >= kept[:, None]).sum(1) == 9).all()
    assert Norm(1).select(tokens, 1).indices[1].item() == 7, "ties go to the lowest index"
