"""What is told about pictures that a model of the project was not made for."""

import io
import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from apet import embedded
from apet.app import hints
from apet.app.hints import hints_of, is_drawn, photograph_hint, shape_hint
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
    monkeypatch.setattr(hints, "is_fetched", lambda: False)
    assert photograph_hint([scene]) is None
    assert photograph_hint([noise], "llava-hf/llava-1.5-7b-hf") is None
    assert "dinov2" not in photograph_hint([noise])
    assert photograph_hint([scene, noise]) == photograph_hint([noise], "embedded")
    assert "28 kinds of objects" in photograph_hint([noise], "dinov2")
    monkeypatch.setattr(hints, "is_fetched", lambda: True)
    assert "dinov2" in photograph_hint([noise])


@pytest.fixture(scope="module")
def small():
    return embedded.load()


class Prepared:
    """An image processor of one picture, by what it does to it."""

    image_mean, image_std = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)

    def __init__(self, work):
        self.work = work

    def __call__(self, images, return_tensors):
        pixels = torch.from_numpy(np.asarray(self.work(images), np.float32) / 255).permute(2, 0, 1)
        return {"pixel_values": (pixels[None] - 0.5) / 0.25}


SIDE = (64, 64)
WIDE, HIGH, NEARLY = (900, 300), (200, 400), (500, 400)


@pytest.mark.parametrize(
    ("work", "size", "told"),
    [
        (lambda one: one.resize(SIDE), WIDE, "squeezed, 3 times too narrow"),
        (lambda one: one.resize(SIDE), HIGH, "squeezed, 2 times too low"),
        (lambda one: one.resize((32, 16)), HIGH, "squeezed, 4 times too low"),
        (lambda one: one.resize(SIDE), NEARLY, None),
        (lambda one: one.resize(SIDE), SIDE, None),
        (lambda one: ImageOps.fit(one, SIDE), WIDE, "33% of this picture's width only"),
        (lambda one: ImageOps.fit(one, SIDE), HIGH, "50% of this picture's height only"),
        (lambda one: ImageOps.fit(one, SIDE), NEARLY, None),
        (lambda one: ImageOps.fit(one, SIDE, centering=(0, 0)), WIDE, "33% of this picture's width only"),
        (lambda one: ImageOps.pad(one, SIDE), WIDE, None),
        (lambda one: ImageOps.pad(one, SIDE, color="white"), WIDE, None),
        (lambda one: ImageOps.pad(one, SIDE, color=(120, 110, 100), centering=(0, 0)), HIGH, None),
        (lambda one: ImageOps.pad(one.resize(SIDE), (96, 64)), WIDE, "squeezed, 3 times too narrow"),
        (lambda one: one.resize((60, 20)), WIDE, None),
    ],
)
def test_what_becomes_of_a_shape(work, size, told):
    hint = shape_hint(Image.effect_noise(size, 60).convert("RGB"), Prepared(work))
    assert hint == told if told is None else told in hint


def test_the_shape_under_processors_as_they_are_shipped(small):
    model, processor = small
    wide = Image.new("RGB", (1280, 720))
    assert "1.8 times too narrow" in shape_hint(wide, processor)
    cut = type(processor.image_processor)(
        size={"shortest_edge": 336}, crop_size={"height": 336, "width": 336}, do_center_crop=True
    )
    assert re.search(
        r"5[67]% of this picture's width", shape_hint(wide, cut)
    )  # as LLaVA-1.5's checkpoints have it
    both = hints_of([wide], model, processor)
    assert both.startswith(photograph_hint([wide]))
    assert both.endswith(shape_hint(wide, processor))


def test_patches_and_tiles_keep_the_shape():
    def patches(images, return_tensors):
        return {"pixel_values": torch.zeros(12, 588), "image_grid_thw": torch.tensor([[1, 4, 3]])}

    assert shape_hint(Image.new("RGB", WIDE), patches) is None
