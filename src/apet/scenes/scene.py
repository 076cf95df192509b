"""A scene: what is on a picture and where, sampled from a seed."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from apet.scenes.masks import char_pitch, line_height
from apet.scenes.vocabulary import COLOURS, LETTERS, REGIONS, SHAPES, WORDS

PATCH = 14
"""Side of a patch, in pixels."""
GRID = 24
"""Patches along each side of a whole picture."""
SIZE = PATCH * GRID
"""Side of a whole picture, in pixels: 336."""

_COLOUR_NAMES = tuple(COLOURS)
_DARK_INKS = ("black", "blue", "red", "purple", "green")
_LIGHT_INKS = ("white", "yellow", "pink", "orange")
_SPLITS = {"train": 0, "validation": 1, "test": 2}


@dataclass(frozen=True)
class Shape:
    """One drawn shape; centre and radius in pixels of the whole picture, angle in radians."""

    shape: str
    colour: str
    x: float
    y: float
    radius: float
    angle: float

    @property
    def name(self) -> str:
        """What questions call it: ``"red star"``."""
        return f"{self.colour} {self.shape}"

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom in pixels."""
        return self.x - self.radius, self.y - self.radius, self.x + self.radius, self.y + self.radius


@dataclass(frozen=True)
class Text:
    """One printed word or number; left and top in pixels of the whole picture."""

    text: str
    colour: str
    left: int
    top: int
    size: int
    plate: bool

    @property
    def is_number(self) -> bool:
        """Whether only digits are printed."""
        return self.text.isdigit()

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom in pixels."""
        right = self.left + char_pitch(self.size) * len(self.text)
        return self.left, self.top, right, self.top + line_height(self.size)

    @property
    def x(self) -> float:
        """Centre, in pixels from the left."""
        return (self.box[0] + self.box[2]) / 2

    @property
    def y(self) -> float:
        """Centre, in pixels from the top."""
        return (self.box[1] + self.box[3]) / 2


@dataclass(frozen=True)
class Region:
    """The part of a picture that is drawn, in patches: a whole picture, or a window of one for training."""

    row: int = 0
    column: int = 0
    rows: int = GRID
    columns: int = GRID

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom in pixels of the whole picture."""
        left, top = self.column * PATCH, self.row * PATCH
        return left, top, left + self.columns * PATCH, top + self.rows * PATCH


@dataclass(frozen=True)
class Scene:
    """Everything that a picture shows. ``seed`` fixes the background's texture and the shading."""

    seed: int
    light: bool
    shapes: tuple[Shape, ...]
    texts: tuple[Text, ...]
    region: Region = field(default_factory=Region)


def seeded(split: str, index: int, stream: int = 0) -> np.random.Generator:
    """The random generator of scene ``index`` of a split: ``"train"``, ``"validation"`` or ``"test"``.

    Splits never share a stream, so a scene of one split is held out from the others. Nor do kinds of
    pictures that have a ``stream`` of their own; 0 is that of `sample_scene`.
    """
    numbers = (_SPLITS[split], index) if stream == 0 else (_SPLITS[split], index, stream)
    return np.random.default_rng(np.random.SeedSequence(numbers))


def region_name(x: float, y: float) -> str:
    """The third of a whole picture that holds the point, in words."""
    return REGIONS[min(int(3 * y / SIZE), 2)][min(int(3 * x / SIZE), 2)]


def _printed(rng: np.random.Generator, longest: int) -> str:
    if rng.random() < 0.4:
        return str(rng.integers(10, 10 ** min(longest, 4)))
    if rng.random() < 0.25:
        return "".join(rng.choice(list(LETTERS), size=rng.integers(3, min(longest, 6) + 1)))
    while len(word := WORDS[rng.integers(len(WORDS))]) > longest:
        pass
    return word


class Layout:
    """Places boxes in a region without overlap."""

    def __init__(self, region: Region, margin: float = 4) -> None:
        self.left, self.top, self.right, self.bottom = region.box
        self.margin = margin
        self.taken: list[tuple[float, float, float, float]] = []

    def place(
        self, rng: np.random.Generator, width: float, height: float, tries: int = 24
    ) -> tuple[float, float] | None:
        """Left and top of a free place for a box of this size, or None where none was found."""
        room_x, room_y = self.right - self.left - width - 4, self.bottom - self.top - height - 4
        if room_x <= 0 or room_y <= 0:
            return None
        for _ in range(tries):
            left = self.left + 2 + float(rng.random()) * room_x
            top = self.top + 2 + float(rng.random()) * room_y
            box = (
                left - self.margin,
                top - self.margin,
                left + width + self.margin,
                top + height + self.margin,
            )
            if all(box[2] <= b[0] or b[2] <= box[0] or box[3] <= b[1] or b[3] <= box[1] for b in self.taken):
                self.taken.append((left, top, left + width, top + height))
                return left, top
        return None


def sample_text(
    rng: np.random.Generator,
    layout: Layout,
    light: bool,
    *,
    plate: bool | None = None,
    sizes: tuple[int, int] = (20, 36),
) -> Text | None:
    """A printed word or number in a free place, with or without a plate; None where none was found."""
    size = int(rng.integers(sizes[0], sizes[1] + 1))
    longest = min(6, int((layout.right - layout.left - 12) // char_pitch(size)))
    if longest < 3:
        return None
    text = _printed(rng, longest)
    plate = bool(rng.random() < 0.5) if plate is None else plate
    inks = _DARK_INKS if light != plate else _LIGHT_INKS
    # A plate stands out by being of the other lightness, with 5 pixels around the text.
    place = layout.place(rng, char_pitch(size) * len(text) + 10, line_height(size) + 10)
    if place is None:
        return None
    return Text(text, inks[rng.integers(len(inks))], int(place[0]) + 5, int(place[1]) + 5, size, plate)


def sample_shape(rng: np.random.Generator, layout: Layout) -> Shape | None:
    """A shape of any kind, colour and size in a free place; None where none was found."""
    radius = float(np.exp(rng.uniform(np.log(9), np.log(36))))
    place = layout.place(rng, 2 * radius, 2 * radius)
    if place is None:
        return None
    shape, colour = SHAPES[rng.integers(len(SHAPES))], _COLOUR_NAMES[rng.integers(len(_COLOUR_NAMES))]
    return Shape(shape, colour, place[0] + radius, place[1] + radius, radius, float(rng.uniform(-0.3, 0.3)))


def sample_scene(rng: np.random.Generator, region: Region | None = None) -> Scene:
    """Draws the content of a scene for a region, a whole picture if None.

    A whole picture holds up to 12 shapes and 3 printed texts; a window holds fewer, at about twice the
    density.
    """
    region = region or Region()
    share = region.rows * region.columns / GRID**2
    light = bool(rng.random() < 0.5)
    layout = Layout(region)
    most_texts, most_shapes = (3, 12) if share > 0.5 else (2, 5)
    texts = [
        sample_text(rng, layout, light) for _ in range(rng.integers(0 if share < 1 else 1, most_texts + 1))
    ]
    shapes = [sample_shape(rng, layout) for _ in range(rng.integers(2, most_shapes + 1))]
    return Scene(
        seed=int(rng.integers(2**31)),
        light=light,
        shapes=tuple(s for s in shapes if s is not None),
        texts=tuple(t for t in texts if t is not None),
        region=region,
    )
