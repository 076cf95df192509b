"""Photographs as backgrounds, from scikit-image's package: crops, flips and colours of a few pictures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

from apet.core.errors import ApETError
from apet.installing import install
from apet.scenes.drawing import Pixels
from apet.scenes.scene import SIZE

TRAINED = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "cell.png",
    "chelsea.png",
    "coins.png",
    "grass.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "moon.png",
    "motorcycle_left.png",
    "retina.jpg",
)
"""Photographs behind training pictures."""
HELD_OUT = ("coffee.png", "gravel.png", "rocket.jpg")
"""Photographs behind the pictures of all other splits, never seen in training."""


@dataclass(frozen=True)
class Backdrop:
    """A part of a photograph: its file, the square's place and side as shares of it, its colours."""

    photograph: str
    left: float
    top: float
    side: float
    flipped: bool
    contrast: float
    gains: tuple[float, float, float]


def sample_backdrop(rng: np.random.Generator, split: str) -> Backdrop:
    """A part of one of the split's photographs, from a third of its shorter side to all of it."""
    names = TRAINED if split == "train" else HELD_OUT
    left, top, side = (float(value) for value in rng.random(3))
    return Backdrop(
        photograph=names[int(rng.integers(len(names)))],
        left=left,
        top=top,
        side=1 / 3 + side * 2 / 3,
        flipped=bool(rng.random() < 0.5),
        contrast=float(rng.uniform(0.6, 1.0)),
        gains=tuple(float(gain) for gain in rng.uniform(0.75, 1.15, 3)),  # type: ignore[arg-type]
    )


def draw_backdrop(backdrop: Backdrop) -> Pixels:
    """The part as a whole picture, ``(336, 336, 3)`` in 0..255."""
    whole = _photograph(backdrop.photograph)
    side = round(min(whole.size) * backdrop.side)
    left = round((whole.width - side) * backdrop.left)
    top = round((whole.height - side) * backdrop.top)
    part = whole.resize((SIZE, SIZE), Image.Resampling.BICUBIC, (left, top, left + side, top + side))
    part = ImageEnhance.Contrast(part).enhance(backdrop.contrast)
    pixels = np.asarray(part, np.float32)[:, :: -1 if backdrop.flipped else 1]
    return np.clip(pixels * np.asarray(backdrop.gains, np.float32), 0, 255)


@lru_cache(maxsize=len(TRAINED) + len(HELD_OUT))
def _photograph(name: str) -> Image.Image:
    with Image.open(data_of("skimage", "scikit-image", "pictures with photographs") / name) as picture:
        return picture.convert("RGB")


def data_of(package: str, name: str, what: str) -> Path:
    """The data of a package, which is not imported: only its files are used."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ApETError(what, f"no {name}", install("reference"))
    return Path(spec.origin).parent / "data"
