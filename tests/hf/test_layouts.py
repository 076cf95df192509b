"""Layouts name the rows of tiles and frames, and leave newlines out."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from apet.hf.families.family import Visual
from apet.hf.families.layouts import anyres, entries, equal_parts, frames_of_grid, trailing_newline
from tests.hf.families import RECIPES
from tests.hf.families.recipe import batch


def listed(images):
    return [[part.tolist() for part in parts] for parts in images]


def test_entries_are_images_and_their_tiles_parts():
    visual = Visual(None, {}, ((3,), (2, 2)))
    assert listed(entries(visual)) == [[[0, 1, 2]], [[3, 4], [5, 6]]]


def test_equal_parts():
    visual = Visual(SimpleNamespace(size=2), {}, ((4,), (2,)))
    assert listed(equal_parts(lambda base: base.size)(visual)) == [[[0, 1]], [[2, 3]], [[4, 5]]]


def test_frames_of_a_grid():
    visual = Visual(None, {"grid": torch.tensor([[2, 4, 4], [1, 2, 4]])}, ((8,), (2,)))
    assert listed(frames_of_grid("grid")(visual)) == [[[0, 1, 2, 3], [4, 5, 6, 7]], [[8, 9]]]


def test_a_trailing_newline_is_in_no_frame():
    visual = Visual(None, {"pixels": torch.empty(2, 2, 3, 8, 8)}, ((5,), (5,)))
    assert listed(trailing_newline("pixels")(visual)) == [[[0, 1], [2, 3]], [[5, 6], [7, 8]]]


@pytest.mark.parametrize("name", ["llava_next", "llava_onevision"])
def test_tiles_of_a_packed_image(name):
    """Pack features that tell their tile: every part then holds one tile, and newlines are in none."""
    recipe = RECIPES[name]
    base = recipe.build("sdpa").base_model
    inputs = batch(recipe, [["i", "j", 2]])
    sizes, newline = inputs["image_sizes"], torch.full((4,), -7.0)
    counts = [1 + int(height // 24) * int(width // 24) for height, width in sizes]
    told = [torch.arange(count).float()[:, None, None].expand(-1, 36, 4) for count in counts]
    options = {"vision_feature_select_strategy": "default"}
    if name == "llava_onevision":
        options = {"vision_aspect_ratio": "anyres_max_9"}
    packed, _ = base.pack_image_features(told, sizes, image_newline=newline, **options)
    flat = torch.cat(list(packed))
    visual = Visual(base, {"image_sizes": sizes, **options}, tuple((len(features),) for features in packed))
    images = anyres(visual)
    assert [len(parts) for parts in images] == counts
    covered = torch.zeros(len(flat), dtype=torch.bool)
    for parts in images:
        for number, rows in enumerate(parts):
            assert (flat[rows] == number).all()
            assert not covered[rows].any()
            covered[rows] = True
    assert (flat[~covered] == -7).all()
    assert (~covered).any()
