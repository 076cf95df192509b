"""Each panel shows at a token's pixels what was decided about that token."""

import numpy as np
import pytest
from PIL import Image

from apet.pictures.panels import error_panel, kept_panel, merged_panel
from apet.pictures.plot import grid_over, read
from apet.pictures.ranks import cut_of, draw_ranks
from apet.pictures.style import BASIS, heat_colours

COLOUR = (200, 120, 40)
SIZES = [(4, 4), (3, 8), (7, 2)]


def _middles(panel, grid):
    pixels = np.asarray(panel)
    x, y = grid.boxes[:, [0, 2]].sum(1) // 2, grid.boxes[:, [1, 3]].sum(1) // 2
    return pixels[y, x].astype(int)


def _laid(result, columns, rows):
    frames, (decision,) = read(Image.new("RGB", (columns * 14, rows * 14), COLOUR), [result])
    return frames, grid_over(frames, decision, 300), decision


@pytest.mark.parametrize(("rows", "columns"), SIZES)
def test_kept_patches_are_clear_and_dropped_ones_dark(result_of, rows, columns):
    kept = [1, columns, rows * columns - 1]
    frames, grid, decision = _laid(result_of(rows, columns, kept), columns, rows)
    middles = _middles(kept_panel(frames, grid, decision, 1.0), grid)
    clear = np.abs(middles - COLOUR).max(1) < 3
    assert np.flatnonzero(clear).tolist() == kept
    assert middles[~clear].max() < 90


@pytest.mark.parametrize(("rows", "columns"), SIZES)
def test_the_heat_map_has_each_tokens_error(result_of, rows, columns):
    errors = np.random.default_rng(0).random(rows * columns).astype(np.float32)
    frames, grid, decision = _laid(result_of(rows, columns, [2], errors, [3]), columns, rows)
    middles = _middles(error_panel(frames, grid, decision, 2.0), grid)
    expected = heat_colours(errors / 2)
    expected[3] = BASIS
    assert np.abs(middles - expected).max() <= 1


def test_a_region_has_one_colour_and_regions_differ(result_of):
    slots = [0, 0, 1, 1, 1, 2, 0, 1, 1, 3, 3, 3]
    frames, grid, decision = _laid(result_of(3, 4, [0, 2, 5, 9], slots=slots), 4, 3)
    middles = _middles(merged_panel(frames, grid, decision, 1.0), grid)
    by_slot = [np.unique(middles[np.array(slots) == slot], axis=0) for slot in range(4)]
    assert [len(colours) for colours in by_slot] == [1, 1, 1, 1]
    assert len({tuple(colours[0]) for colours in by_slot}) == 4
    assert tuple(by_slot[2][0]) == COLOUR, "nothing merged into it, so it stays as it is"


def test_the_cut_is_at_the_number_of_errors_that_were_kept(result_of):
    errors = [5.0, 1.0, 4.0, 0.0, 3.0, 2.0]
    by_error = result_of(2, 3, [0, 2, 3], errors, [3])
    otherwise = result_of(2, 3, [1, 3], errors, [3])
    picture = Image.new("RGB", (30, 20))
    _, decisions = read(picture, [by_error, otherwise, result_of(2, 3, [0])])
    assert [cut_of(decision) for decision in decisions] == [2, None, None]
    for decision in decisions:
        assert draw_ranks(decision, (300, 200)).size == (300, 200)


def test_the_ranks_show_kept_before_the_cut_and_dropped_behind(result_of):
    errors = np.linspace(10, 5, 12)
    _, (decision,) = read(Image.new("RGB", (40, 30)), [result_of(3, 4, [0, 1, 2], errors)])
    pixels = np.asarray(draw_ranks(decision, (600, 300)))[235]
    axis = 46 + (600 - 12 - 46) * (np.arange(12) + 0.5) / 12
    colours = {tuple(pixels[round(x)].tolist()) for x in axis[:3]}
    rest = {tuple(pixels[round(x)].tolist()) for x in axis[3:]}
    assert len(colours) == len(rest) == 1
    assert colours != rest
