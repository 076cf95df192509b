"""The pictures that the real eye's decoder learns from, by kind and number, with new questions every time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apet.scenes import Question, ask, draw, sample_scene, seeded
from apet.scenes.collage import draw_collage, sample_collage
from apet.scenes.easy_vqa import ask_easy, easy_pictures, show_easy
from apet.scenes.object_questions import ask_collage

COLLAGES = 7
"""Random stream of collages, as in ``apet.scenes.sources``."""
# Print is what this encoder tells least, and its answers are long: more of it and the rest is learnt later.
SCENE_SKILLS = {
    "exist": 1.0,
    "colour": 0.6,
    "shape": 0.6,
    "count": 1.4,
    "where": 0.6,
    "relation": 1.2,
    "read": 1.0,
}
COLLAGE_SKILLS = {
    "object_name": 3.0,
    "object_exist": 1.2,
    "object_count": 1.4,
    "object_where": 0.6,
    "object_relation": 1.0,
    "photo_shapes": 1.6,
    "photo_read": 0.8,
}


@dataclass(frozen=True)
class Pictures:
    """One kind of training pictures.

    Attributes:
        share: Part of all training pictures that are of this kind.
        show: Pixels of picture ``i``.
        ask: At most ``n`` questions about picture ``i``, chosen by a generator.
    """

    share: float
    show: Callable[[int], NDArray[np.uint8]]
    ask: Callable[[np.random.Generator, int, int], list[Question]]


def _ask_scene(rng: np.random.Generator, index: int, number: int) -> list[Question]:
    return ask(rng, sample_scene(seeded("train", index)), number, SCENE_SKILLS)


def _ask_collage(rng: np.random.Generator, index: int, number: int) -> list[Question]:
    return ask_collage(rng, sample_collage(seeded("train", index, COLLAGES), "train"), number, COLLAGE_SKILLS)


def _ask_easy(rng: np.random.Generator, index: int, number: int) -> list[Question]:
    turns = ask_easy(easy_pictures("train")[index])
    return [turns[int(i)] for i in rng.permutation(len(turns))[:number]]


KINDS: dict[str, Pictures] = {
    "scenes": Pictures(0.35, lambda index: draw(sample_scene(seeded("train", index))), _ask_scene),
    "collages": Pictures(
        0.55,
        lambda index: draw_collage(sample_collage(seeded("train", index, COLLAGES), "train")),
        _ask_collage,
    ),
    "easy": Pictures(0.1, lambda index: show_easy(easy_pictures("train")[index]), _ask_easy),
}
"""Every kind by name."""
