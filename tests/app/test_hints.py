"""What is told about pictures that a model of the project was not made for."""

import io
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from apet.app import hints
from apet.app.hints import is_drawn, photograph_hint
from apet.scenes import draw, sample_scene, seeded
from apet.scenes.sources import SOURCES

PHOTOGRAPHS = ["astronaut.png", "chelsea.png", "coffee.png", "ihc.png", "motorcycle_left.png", "rocket.jpg"]
IN_GREY = ["brick.png", "camera.png", "coins.png", "grass.png", "gravel.png", "moon.png"]


def as_jpeg(picture):
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=50)
    return Image.open(stream)


def photograph(name):
    package = find_spec("skimage")
    if package is None:
        pytest.skip("no scikit-image")
    return Image.open(Path(package.origin).parent / "data" / name)


def test_drawn_scenes_are_told_apart():
    pictures = [Image.fromarray(draw(sample_scene(seeded("validation", number)))) for number in range(60)]
    small = [Image.fromarray(SOURCES["small"].drawn("validation", n).paint()[0]) for n in range(20)]
    for picture in pictures + small:
        assert is_drawn(picture)
        assert is_drawn(as_jpeg(picture.resize((500, 400))))


@pytest.mark.parametrize("name", PHOTOGRAPHS + IN_GREY)
def test_photographs_are_told_apart(name):
    assert not is_drawn(photograph(name))
    assert not is_drawn(as_jpeg(photograph(name).convert("RGB")))


def test_a_model_is_told_of_by_what_it_knows(monkeypatch):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 60, 3), np.uint8))
    scene = Image.fromarray(draw(sample_scene(seeded("validation", 0))))
    monkeypatch.setattr(hints, "has_real_eye", lambda: False)
    assert photograph_hint([scene]) is None
    assert photograph_hint([noise], "llava-hf/llava-1.5-7b-hf") is None
    assert "dinov2" not in photograph_hint([noise])
    assert photograph_hint([scene, noise]) == photograph_hint([noise], "embedded")
    assert "28 kinds of objects" in photograph_hint([noise], "dinov2")
    monkeypatch.setattr(hints, "has_real_eye", lambda: True)
    assert "dinov2" in photograph_hint([noise])
