"""Scenes follow from their seed, fit their region and are labelled right."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from training.labels import CHARS, IGNORE, patch_labels

from apet.scenes import (
    GRID,
    PATCH,
    SIZE,
    Region,
    Scene,
    Shape,
    Text,
    draw,
    sample_scene,
    seeded,
)
from apet.scenes.masks import char_pitch, glyph_mask, line_height, shape_mask
from apet.scenes.vocabulary import COLOURS, SHAPES


def test_a_seed_gives_one_picture():
    first, again = (sample_scene(seeded("test", 7)) for _ in range(2))
    assert first == again
    assert np.array_equal(draw(first), draw(again))
    assert draw(first).shape == (SIZE, SIZE, 3)


def test_splits_never_share_a_scene():
    scenes = [sample_scene(seeded(split, i)) for split in ("train", "validation", "test") for i in range(20)]
    assert len({scene.seed for scene in scenes}) == len(scenes)


@settings(max_examples=40, deadline=None)
@given(index=st.integers(0, 10**6), rows=st.integers(6, GRID), columns=st.integers(6, GRID))
def test_everything_lies_inside_its_region_without_overlap(index, rows, columns):
    region = Region(GRID - rows, GRID - columns, rows, columns)
    scene = sample_scene(seeded("train", index), region)
    left, top, right, bottom = region.box
    boxes = [thing.box for thing in (*scene.shapes, *scene.texts)]
    for i, (x0, y0, x1, y1) in enumerate(boxes):
        assert left <= x0
        assert top <= y0
        assert x1 <= right
        assert y1 <= bottom
        for a0, b0, a1, b1 in boxes[:i]:
            assert x1 <= a0 or a1 <= x0 or y1 <= b0 or b1 <= y0
    assert draw(scene).shape == (rows * PATCH, columns * PATCH, 3)
    assert patch_labels(scene).kind.shape == (rows * columns,)


def test_labels_say_what_stands_where():
    shape = Shape("star", "red", 100.0, 60.0, 30.0, 0.0)
    text = Text("K7", "black", 200, 201, 36, plate=False)
    labels = patch_labels(Scene(0, True, (shape,), (text,)))
    star = (60 // PATCH) * GRID + 100 // PATCH
    assert (labels.kind[star], labels.anchor[star]) == (1, 1)
    assert labels.shape[star] == SHAPES.index("star")
    assert labels.colour[star] == list(COLOURS).index("red")
    assert (labels.row[star], labels.column[star]) == (60 // PATCH, 100 // PATCH)
    assert labels.anchor.sum() == 1
    for place, char in enumerate("K7"):
        x, y = 200 + char_pitch(36) * (place + 0.5), 201 + line_height(36) / 2
        patch = int(y // PATCH) * GRID + int(x // PATCH)
        assert (labels.kind[patch], labels.char[patch], labels.place[patch]) == (2, CHARS.index(char), place)
    assert labels.shape[labels.kind == 0].tolist() == [IGNORE] * int((labels.kind == 0).sum())


def test_the_colour_of_a_shape_is_on_the_picture():
    for name, colour in COLOURS.items():
        pixels = draw(Scene(1, name == "black", (Shape("square", name, 168.0, 168.0, 30.0, 0.0),), ()))
        assert np.abs(pixels[160:176, 160:176].mean((0, 1)) - colour).max() < 30


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("angle", [-0.3, 0.0, 0.3])
def test_shapes_fit_their_radius(shape, angle):
    mask = shape_mask(shape, 20.0, angle)
    assert mask.shape == (41, 41)
    assert mask.max() == 1
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    assert border.max() <= 0.6
    assert 0.1 < mask.mean() < 0.9


def test_characters_differ_from_each_other():
    masks = [glyph_mask(char, 28) for char in CHARS]
    for i, mask in enumerate(masks):
        assert mask.shape == (line_height(28), char_pitch(28))
        assert all(np.abs(mask - other).sum() > 8 for other in masks[:i])
