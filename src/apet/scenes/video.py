"""Short drawn videos: one thing moves, another blinks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from apet.scenes.drawing import draw
from apet.scenes.questions import Question
from apet.scenes.scene import Layout, Region, Scene, Shape
from apet.scenes.vocabulary import COLOURS, SHAPES

FRAMES = 8
"""Frames of a video."""

_WAYS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}


@dataclass(frozen=True)
class Clip:
    """A video of a scene whose first shape moves and whose last one is gone in some frames.

    Attributes:
        scene: The first frame, with the blinking shape.
        way: Which way the first shape moves.
        step: Pixels per frame.
        gone: Frames without the last shape.
    """

    scene: Scene
    way: str
    step: float
    gone: tuple[int, ...]

    @property
    def times(self) -> int:
        """How many times the last shape vanishes: runs of frames without it."""
        return sum(frame - 1 not in self.gone for frame in self.gone)


def sample_clip(rng: np.random.Generator) -> Clip:
    """A video with 3 to 5 shapes of different colours and shapes, none in another's way."""
    while True:
        layout = Layout(Region())
        count = int(rng.integers(3, 6))
        colours, kinds = rng.choice(list(COLOURS), count, False), rng.choice(SHAPES, count, False)
        way = str(rng.choice(list(_WAYS)))
        across, down = _WAYS[way]
        step = float(rng.uniform(12, 24))
        reach = step * (FRAMES - 1)
        shapes = []
        for number in range(count):
            radius = float(rng.uniform(16, 28))
            room = reach if number == 0 else 0.0
            place = layout.place(rng, 2 * radius + room * abs(across), 2 * radius + room * abs(down))
            if place is None:
                break
            x = place[0] + radius + (room if across < 0 else 0)
            y = place[1] + radius + (room if down < 0 else 0)
            kind, colour = str(kinds[number]), str(colours[number])
            shapes.append(Shape(kind, colour, x, y, radius, float(rng.uniform(-0.3, 0.3))))
        if len(shapes) == count:
            scene = Scene(int(rng.integers(2**31)), bool(rng.random() < 0.5), tuple(shapes), ())
            return Clip(scene, way, step, _sample_gone(rng))


def _sample_gone(rng: np.random.Generator) -> tuple[int, ...]:
    """One to three frames, no two in a row, neither the first nor the last."""
    times = int(rng.integers(1, 4))
    while True:
        gone = tuple(sorted(int(i) for i in rng.choice(np.arange(1, FRAMES - 1), times, replace=False)))
        if all(b - a > 1 for a, b in pairwise(gone)):
            return gone


def ask_clip(clip: Clip) -> list[Question]:
    """Asks what moved, which way, and how many times something vanished."""
    moved, blinked = clip.scene.shapes[0], clip.scene.shapes[-1]
    questions = [
        ("what moved?", moved.name),
        (f"which way did the {moved.name} move?", clip.way),
        (f"how many times did the {blinked.name} vanish?", str(clip.times)),
    ]
    return [Question("video", text, answer) for text, answer in questions]


def draw_clip(clip: Clip) -> list[NDArray[np.uint8]]:
    """Draws `FRAMES` frames, each ``(336, 336, 3)``, over one background."""
    across, down = _WAYS[clip.way]
    first, *others = clip.scene.shapes
    frames = []
    for number in range(FRAMES):
        way = clip.step * number
        moved = replace(first, x=first.x + across * way, y=first.y + down * way)
        rest = others[:-1] if number in clip.gone else others
        frames.append(draw(replace(clip.scene, shapes=(moved, *rest))))
    return frames
