"""Named objects: small colour drawings of animals, food and vehicles, in three styles."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from apet.scenes.drawing import Pixels, blend

GROUPS: dict[str, tuple[str, ...]] = {
    "animal": tuple("butterfly dog elephant fish horse owl penguin rabbit snail turtle".split()),  # noqa: SIM905
    "food": tuple("apple banana burger carrot donut lemon pineapple pizza strawberry".split()),  # noqa: SIM905
    "vehicle": tuple("bicycle boat bus car helicopter plane tractor train truck".split()),  # noqa: SIM905
}
"""Names of the objects, by what they are."""
OBJECTS: dict[str, str] = {name: group for group, names in GROUPS.items() for name in names}
"""What every object is."""
_FOLDER = Path(__file__).parent / "drawings"


@dataclass(frozen=True)
class Thing:
    """One drawn object.

    Its file, centre and half extent in pixels, whether it is mirrored, its turn in degrees, and factors on
    red, green and blue.
    """

    name: str
    drawing: str
    x: float
    y: float
    radius: float
    flipped: bool
    turn: float
    gains: tuple[float, float, float]

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom in pixels."""
        return self.x - self.radius, self.y - self.radius, self.x + self.radius, self.y + self.radius


def plural(name: str) -> str:
    """Several of an object."""
    return {"butterfly": "butterflies", "fish": "fish", "bus": "buses", "strawberry": "strawberries"}.get(
        name, name + "s"
    )


@lru_cache(maxsize=64)
def drawings(name: str, split: str) -> tuple[str, ...]:
    """Files of an object's drawings: those of training, or those that no training picture shows."""
    folder = "train" if split == "train" else "test"
    return tuple(f"{folder}/{path.name}" for path in sorted((_FOLDER / folder).glob(f"{name}-*.png")))


@lru_cache(maxsize=256)
def _drawing(file: str) -> Image.Image:
    with Image.open(_FOLDER / file) as picture:
        square = Image.new("RGBA", (max(picture.size),) * 2)
        square.paste(picture, ((square.width - picture.width) // 2, (square.height - picture.height) // 2))
    return square


def draw_thing(canvas: Pixels, thing: Thing) -> None:
    """Paints an object where it stands, which is inside the canvas."""
    side = int(2 * thing.radius)
    picture = _drawing(thing.drawing).rotate(thing.turn, Image.Resampling.BICUBIC)
    pixels = np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC), np.float32)
    pixels = pixels[:, :: -1 if thing.flipped else 1]
    colours: Pixels = np.clip(pixels[..., :3] * np.asarray(thing.gains), 0, 255).astype(np.float32)
    blend(canvas, pixels[..., 3] / np.float32(255), colours, int(thing.box[0]), int(thing.box[1]))
