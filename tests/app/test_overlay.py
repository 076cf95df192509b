"""The overlay shows the patch that it says it shows."""

import numpy as np
import pytest
import torch
from PIL import Image

from apet.app.overlay import draw_overlay, heat_colours, seen_picture
from apet.core.errors import ApETError
from apet.hf.clock import Clock
from apet.hf.results import ImageResult, StageSelection


def _result(tokens, indices, errors, basis=()):
    stage = StageSelection(
        indices=torch.tensor(indices),
        candidates=torch.arange(tokens),
        assignment=torch.zeros(tokens, dtype=torch.long),
        errors=torch.tensor(errors, dtype=torch.float32),
        basis=torch.tensor(basis, dtype=torch.long),
        tokens=torch.zeros(len(indices), 1),
        clock=Clock(torch.device("cpu")),
    )
    return ImageResult(row=0, tokens=tokens, stage1=stage, stage2=None)


@pytest.mark.parametrize(("rows", "columns"), [(4, 4), (3, 6), (6, 2)])
def test_kept_patches_are_clear_and_dropped_ones_dimmed(rows, columns):
    picture = Image.new("RGB", (columns * 14, rows * 14), (200, 120, 40))
    kept = [1, columns, rows * columns - 1]
    errors = np.linspace(0, 1, rows * columns)
    pixels = np.asarray(draw_overlay(picture, _result(rows * columns, kept, errors)))
    cell = -(-588 // rows)
    for token in range(rows * columns):
        row, column = divmod(token, columns)
        y, x = 12 + row * cell + cell // 2, 12 + column * cell + cell // 2
        clear = np.abs(pixels[y, x].astype(int) - (200, 120, 40)).max() < 6
        assert clear == (token in kept), token
        # The heat panel beside it shows this token's error.
        heat = pixels[y, x + columns * cell + 12].astype(int)
        assert np.abs(heat - heat_colours(np.float32(errors[token]))).max() <= 2


def test_basis_tokens_carry_a_dot():
    picture = Image.new("RGB", (56, 56))
    plain = draw_overlay(picture, _result(16, [5], np.zeros(16)))
    marked = draw_overlay(picture, _result(16, [5], np.zeros(16), [5]))
    difference = np.argwhere((np.asarray(plain) != np.asarray(marked)).any(-1))
    cell = 147
    assert ((difference - (12 + cell, 24 + 4 * cell + cell)) // cell == 0).all()


def test_tokens_that_form_no_grid_are_refused():
    with pytest.raises(ApETError, match="form a grid"):
        draw_overlay(Image.new("RGB", (56, 56)), _result(17, [5], np.zeros(17)))


def test_the_seen_picture_undoes_the_normalisation():
    class Processor:
        image_mean, image_std = [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]

    pixels = np.random.default_rng(0).integers(0, 256, (8, 6, 3), np.uint8)
    normal = (pixels / 255 - Processor.image_mean) / Processor.image_std
    seen = seen_picture(torch.tensor(normal).permute(2, 0, 1), Processor)
    assert np.array_equal(np.asarray(seen), pixels)
