"""Scenes of small things: objects little larger than a patch, and the smallest print."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from apet.scenes.questions import Question, ask
from apet.scenes.scene import Scene, Shape, Text, sample_scene

LARGEST_RADIUS = 11.0
"""A small object is 18 to 22 pixels across: one and a half patches."""
LARGEST_PRINT = 22
"""Small print has 20 to 22 pixels, the least that a whole scene has."""

_OBJECTS = ("colour", "shape", "where", "exist")


def _shrunk(rng: np.random.Generator, thing: Shape | Text) -> Shape | Text:
    """The same thing, small, inside the place that it had."""
    if isinstance(thing, Shape):
        return replace(thing, radius=float(rng.uniform(9.0, LARGEST_RADIUS)))
    return replace(thing, size=int(rng.integers(20, LARGEST_PRINT + 1)))


def sample_small(rng: np.random.Generator) -> Scene:
    """A scene as `sample_scene` draws it, with everything in it made small where it stands."""
    scene = sample_scene(rng)
    shapes = [_shrunk(rng, shape) for shape in scene.shapes]
    texts = [_shrunk(rng, text) for text in scene.texts]
    return replace(
        scene,
        shapes=tuple(shape for shape in shapes if isinstance(shape, Shape)),
        texts=tuple(text for text in texts if isinstance(text, Text)),
    )


def ask_small(rng: np.random.Generator, scene: Scene, number: int) -> list[Question]:
    """So many questions each at most: on single small objects (`small_objects`) and print (`small_text`)."""
    objects = ask(rng, scene, number, dict.fromkeys(_OBJECTS, 1.0))
    prints = ask(rng, scene, number, {"read": 1.0})
    return [replace(question, skill="small_objects") for question in objects] + [
        replace(question, skill="small_text") for question in prints
    ]
