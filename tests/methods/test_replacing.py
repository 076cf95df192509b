"""Methods that replace the picture: no image at all, and a smaller one."""

from __future__ import annotations

import pytest
import torch

from apet.core import ApETError
from apet.methods import Downsample, NoImage, Stage2


@pytest.mark.parametrize(
    ("keep", "large", "small"),
    [
        (64, (24, 24), (8, 8)),
        (128, (24, 24), (11, 11)),
        (192, (24, 24), (13, 14)),
        (576, (24, 24), (24, 24)),
        (1, (24, 24), (1, 1)),
        (0.25, (20, 40), (10, 20)),
        (50, (20, 40), (5, 10)),
        (3, (2, 100), (1, 3)),
        (1.0, (3, 5), (3, 5)),
    ],
)
def test_the_grid_is_the_largest_that_fits(keep, large, small):
    assert Downsample(keep).grid(*large) == small


def test_the_grid_stays_within_the_budget_and_the_picture():
    for height in range(1, 30, 3):
        for width in range(1, 60, 7):
            for kept in range(1, height * width + 1):
                rows, columns = Downsample(kept).grid(height, width)
                assert 1 <= rows <= height
                assert 1 <= columns <= width
                assert rows * columns <= kept


def test_a_small_picture_stays_as_it_is():
    assert Downsample(577).grid(24, 24) == (24, 24)


def test_no_image_keeps_nothing(tokens):
    assert NoImage() == NoImage(0)
    assert NoImage().stage1(576) == 0
    decision = NoImage().select(tokens)
    assert decision.indices.shape == (3, 0)
    assert (decision.assignment == -1).all()
    assert decision.apply(tokens, merge=False).shape == (3, 0, 16)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: NoImage(64), "NoImage: got keep=64; expected 0"),
        (lambda: NoImage(False), "NoImage: got keep=False"),
        (lambda: NoImage(merge=True), "NoImage: got merge=True"),
        (lambda: NoImage(stage2=Stage2(2, 3)), "NoImage: got stage2="),
        (lambda: NoImage(tolerance=0.1), "NoImage: got tolerance=0.1"),
        (lambda: Downsample(lambda segment: 9), "Downsample: got keep=<function"),
        (lambda: Downsample(0), "Downsample: got keep=0"),
        (lambda: Downsample(9, stage2=Stage2(2, 3)), "Downsample: got stage2=.*; expected None"),
        (lambda: Downsample(9).select(torch.ones(1, 9, 2), 3), "Downsample: got visual tokens"),
        (lambda: NoImage().select(torch.ones(1, 9, 2), 3), "NoImage: got keep=3"),
    ],
)
def test_errors(build, message):
    with pytest.raises(ApETError, match=message):
        build()
