"""Collages: a photograph with drawn objects, shapes and printed words on it, some small, some many."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apet.scenes.drawing import blend, draw_shape, draw_text, finish
from apet.scenes.masks import shape_mask
from apet.scenes.objects import OBJECTS, Thing, draw_thing, drawings
from apet.scenes.photographs import Backdrop, draw_backdrop, sample_backdrop
from apet.scenes.scene import Layout, Region, Scene, sample_shape, sample_text

_DARK = ("black", "blue", "purple", "red", "green")
_RIM = 2.5
_PRINT = (26, 44)
_NAMES = tuple(OBJECTS)


@dataclass(frozen=True)
class Collage(Scene):
    """A scene on a part of a photograph, with named objects; ``backdrop`` and ``things`` are always given."""

    backdrop: Backdrop | None = None
    things: tuple[Thing, ...] = ()


def sample_collage(rng: np.random.Generator, split: str) -> Collage:
    """Draws the content of a collage; training and the other splits share no photograph and no drawing.

    Up to 8 objects, 6 shapes and 2 printed texts. Objects are of a few kinds, so that some come several
    times; in every fourth picture nearly all are of one kind, and small.
    """
    layout = Layout(Region())
    light = bool(rng.random() < 0.5)
    texts = [sample_text(rng, layout, light, plate=True, sizes=_PRINT) for _ in range(rng.integers(0, 3))]
    many = rng.random() < 0.25
    kinds = rng.choice(_NAMES, 2 if many else int(rng.integers(2, 6)), replace=False)
    weights = np.ones(len(kinds)) if not many else np.asarray((0.85, 0.15))
    number = int(rng.integers(4, 9) if many else rng.integers(1, 7))
    chosen = rng.choice(kinds, number, p=weights / weights.sum())
    things = [_sample_thing(rng, layout, str(name), split, 22 if many else 42) for name in chosen]
    shapes = [sample_shape(rng, layout) for _ in range(rng.integers(0, 4 if many else 7))]
    return Collage(
        seed=int(rng.integers(2**31)),
        light=light,
        shapes=tuple(shape for shape in shapes if shape is not None),
        texts=tuple(text for text in texts if text is not None),
        backdrop=sample_backdrop(rng, split),
        things=tuple(thing for thing in things if thing is not None),
    )


def _sample_thing(
    rng: np.random.Generator, layout: Layout, name: str, split: str, largest: float
) -> Thing | None:
    radius = float(np.exp(rng.uniform(np.log(13), np.log(largest))))
    place = layout.place(rng, 2 * radius, 2 * radius)
    if place is None:
        return None
    files = drawings(name, split)
    drawing = files[int(rng.integers(len(files)))]
    flipped, turn = bool(rng.random() < 0.5), float(rng.uniform(-12, 12))
    red, green, blue = (float(gain) for gain in rng.uniform(0.75, 1.25, 3))
    x, y = place[0] + radius, place[1] + radius
    return Thing(name, drawing, x, y, radius, flipped, turn, (red, green, blue))


def draw_collage(collage: Collage) -> NDArray[np.uint8]:
    """Draws a collage, ``(336, 336, 3)``; the same one always gives the same pixels.

    Shapes have a rim, light around dark ones, since a photograph may have any colour behind them.
    """
    rng = np.random.default_rng(collage.seed)
    assert collage.backdrop is not None
    canvas = draw_backdrop(collage.backdrop)
    for text in collage.texts:
        draw_text(rng, canvas, text, collage.light, collage.region)
    for shape in collage.shapes:
        mask = shape_mask(shape.shape, shape.radius + _RIM, shape.angle) * np.float32(0.8)
        tone = np.full(3, 245 if shape.colour in _DARK else 25, np.float32)
        reach = mask.shape[0] // 2
        left, top = round(shape.x) - reach, round(shape.y) - reach
        cut_left, cut_top = max(-left, 0), max(-top, 0)
        blend(canvas, mask[cut_top:, cut_left:], tone, left + cut_left, top + cut_top)
        draw_shape(rng, canvas, shape, collage.region)
    for thing in collage.things:
        draw_thing(canvas, thing)
    return finish(canvas)
