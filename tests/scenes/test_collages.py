"""Collages: nothing overlaps, splits share no photograph and no drawing, and the answers are right."""

import re
from collections import Counter
from importlib.util import find_spec

import numpy as np
import pytest

from apet.core.errors import ApETError
from apet.installing import install
from apet.scenes import SIZE, photographs, seeded
from apet.scenes.collage import draw_collage, sample_collage
from apet.scenes.drawing import Pixels
from apet.scenes.object_questions import OBJECT_SKILLS, ask_collage
from apet.scenes.objects import GROUPS, OBJECTS, Thing, draw_thing, drawings, plural
from apet.scenes.scene import region_name

needs_photographs = pytest.mark.skipif(find_spec("skimage") is None, reason="needs scikit-image")


def _collages(split="test", count=40):
    for index in range(count):
        rng = seeded(split, index, 7)
        yield rng, sample_collage(rng, split)


def test_every_object_has_drawings_to_learn_from_and_others_to_be_tested_on():
    for name in OBJECTS:
        assert len(drawings(name, "train")) >= 2
        assert len(drawings(name, "test")) == 1
        assert drawings(name, "validation") == drawings(name, "test")


def test_splits_share_no_photograph_and_no_drawing():
    shown = {
        split: {
            file
            for _, collage in _collages(split)
            for file in (collage.backdrop.photograph, *(thing.drawing for thing in collage.things))
        }
        for split in ("train", "test")
    }
    assert not shown["train"] & shown["test"]


def test_everything_lies_in_the_picture_without_overlap():
    for _, collage in _collages():
        boxes = [one.box for one in (*collage.things, *collage.shapes, *collage.texts)]
        for i, (x0, y0, x1, y1) in enumerate(boxes):
            assert min(x0, y0) >= 0
            assert max(x1, y1) <= SIZE
            assert all(x1 <= a0 or a1 <= x0 or y1 <= b0 or b1 <= y0 for a0, b0, a1, b1 in boxes[:i])


def test_an_object_is_painted_where_it_stands():
    canvas: Pixels = np.zeros((SIZE, SIZE, 3), np.float32)
    draw_thing(
        canvas, Thing("banana", drawings("banana", "train")[0], 100, 60, 20, True, 5.0, (1.0, 1.0, 1.0))
    )
    painted = canvas.sum(-1) > 0
    assert painted[40:80, 80:120].mean() > 0.3
    assert painted.sum() == painted[40:80, 80:120].sum()


def test_answers_follow_from_what_is_shown():
    seen = Counter()
    for rng, collage in _collages(count=60):
        names = [thing.name for thing in collage.things]
        for question in ask_collage(rng, collage, 12):
            seen[question.skill] += 1
            text, answer = question.text, question.answer
            if question.skill == "object_exist":
                assert (re.search(r"an? (\w+)\?$", text)[1] in names) == (answer == "yes")
            elif question.skill == "object_count":
                (name,) = (one for one in OBJECTS if re.search(rf"\b{plural(one)}\b", text))
                assert str(names.count(name)) == answer
            elif question.skill == "object_where":
                (thing,) = (thing for thing in collage.things if thing.name == question.named[0][0])
                assert region_name(thing.x, thing.y) == answer
            elif question.skill == "object_name":
                group = re.match(r"(what|which) (\w+) ", text)[2]
                place = re.search(r"at the (.+)\?", text)
                found = [
                    thing.name
                    for thing in collage.things
                    if thing.name in GROUPS[group]
                    and (place is None or region_name(thing.x, thing.y) == place[1])
                ]
                assert found == [answer]
    assert set(seen) == {*OBJECT_SKILLS, "photo_shapes", "photo_read"}


@needs_photographs
def test_a_collage_shows_its_photograph():
    _, collage = next(_collages("train"))
    pixels = draw_collage(collage)
    assert pixels.shape == (SIZE, SIZE, 3)
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 1000


def test_without_scikit_image_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(photographs, "find_spec", lambda name: None)
    photographs._photograph.cache_clear()
    _, collage = next(_collages())
    with pytest.raises(ApETError, match=re.escape(install("reference"))):
        draw_collage(collage)
