"""Several pictures in one prompt, and several turns about one picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apet.scenes.questions import Question, ask, has_clear_place
from apet.scenes.scene import Scene, region_name, sample_scene

_NUMBERS = ("first", "second", "third")


@dataclass(frozen=True)
class Album:
    """Two or three scenes, shown one after the other."""

    scenes: tuple[Scene, ...]


def sample_album(rng: np.random.Generator) -> Album:
    """Two or three scenes, each as `sample_scene` draws it."""
    return Album(tuple(sample_scene(rng) for _ in range(int(rng.integers(2, 4)))))


def ask_album(rng: np.random.Generator, album: Album) -> list[Question]:
    """Asks which picture shows a thing, and about a thing in one of the pictures."""
    questions = []
    names = [{shape.name for shape in scene.shapes} for scene in album.scenes]
    only = [
        (name, place)
        for place, here in enumerate(names)
        for name in sorted(here)
        if sum(name in there for there in names) == 1
    ]
    if only:
        name, place = only[int(rng.integers(len(only)))]
        questions.append(Question("several", f"in which picture is the {name}?", _NUMBERS[place]))
    place = int(rng.integers(len(album.scenes)))
    for question in ask(rng, album.scenes[place], 2, {"colour": 1, "shape": 1, "count": 1, "read": 1}):
        text = f"in the {_NUMBERS[place]} picture, {question.text}"
        questions.append(Question("several", text, question.answer))
    return questions


def ask_in_turns(rng: np.random.Generator, scene: Scene) -> tuple[Question, ...]:
    """Three questions, of which the second and the third speak of the thing in the first; empty if none fits.

    The thing has a colour of its own, a clear place, and another thing to be compared with.
    """
    colours = [shape.colour for shape in scene.shapes]
    things = [shape for shape in scene.shapes if colours.count(shape.colour) == 1]
    pairs = [(a, b) for a in things for b in things if has_clear_place(a) and abs(a.x - b.x) >= 24]
    if not pairs:
        return ()
    thing, other = pairs[int(rng.integers(len(pairs)))]
    left = rng.random() < 0.5
    right_answer = "yes" if (thing.x < other.x) == left else "no"
    turns = (
        (f"what shape is the {thing.colour} object?", thing.shape),
        ("where is it?", region_name(thing.x, thing.y)),
        (f"is it {'left' if left else 'right'} of the {other.colour} object?", right_answer),
    )
    return tuple(Question("turns", text, answer) for text, answer in turns)
