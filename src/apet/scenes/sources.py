"""Every kind of drawn picture by name, as evaluation asks for it.

A new kind touches its own file, a row in `SOURCES` and a row in ``tests/scenes/source_table.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from apet.scenes.drawing import draw
from apet.scenes.questions import SKILLS, Question, ask
from apet.scenes.scene import Scene, sample_scene, seeded
from apet.scenes.small import ask_small, sample_small

__all__ = ["SOURCES", "Drawn", "Kind", "Source"]

Kind = Literal["image", "images", "video"]
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Drawn:
    """One picture, several, or a video, with what is asked about it.

    Attributes:
        content: Everything that is shown; its ``repr`` tells two contents apart.
        paint: Draws the pictures or frames, each ``(height, width, 3)`` uint8.
        dialogues: Questions by turns; most have one turn.
    """

    content: object
    paint: Callable[[], list[Pixels]]
    dialogues: tuple[tuple[Question, ...], ...]


@dataclass(frozen=True)
class Source:
    """A kind of drawn pictures.

    Attributes:
        kind: What one question shows.
        stream: Number of its random stream; see `seeded`.
        tasks: What its questions ask for; the ``skill`` of each is one of them.
        trained: Whether the embedded model was trained on pictures and questions like these.
        make: Draws one from a generator.
    """

    kind: Kind
    stream: int
    tasks: tuple[str, ...]
    trained: bool
    make: Callable[[np.random.Generator], Drawn]

    def drawn(self, split: str, index: int) -> Drawn:
        """Number ``index`` of a split, ``"train"``, ``"validation"`` or ``"test"``."""
        return self.make(seeded(split, index, self.stream))


def _scene(rng: np.random.Generator) -> Drawn:
    scene = sample_scene(rng)
    asked = tuple((question,) for question in ask(rng, scene, 8))
    return Drawn(scene, partial(_paint, scene), asked)


def _small(rng: np.random.Generator) -> Drawn:
    scene = sample_small(rng)
    asked = tuple((question,) for question in ask_small(rng, scene, 4))
    return Drawn(scene, partial(_paint, scene), asked)


def _paint(scene: Scene) -> list[Pixels]:
    return [draw(scene)]


SOURCES: dict[str, Source] = {
    "scenes": Source("image", 0, tuple(SKILLS), True, _scene),
    "small": Source("image", 1, ("small_objects", "small_text"), True, _small),
}
"""Kinds of pictures by name."""
