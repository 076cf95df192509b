"""Questions about a scene, with their answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from apet.scenes.scene import SIZE, Scene, region_name
from apet.scenes.vocabulary import COLOURS, SHAPES


class Named(Protocol):
    """What has a name and a place of its own."""

    @property
    def name(self) -> str:
        """What questions call it."""

    @property
    def x(self) -> float:
        """Centre, in pixels from the left."""

    @property
    def y(self) -> float:
        """Centre, in pixels from the top."""


@dataclass(frozen=True)
class Question:
    """One question in words, its answer, and the skill that it asks for."""

    skill: str
    text: str
    answer: str
    named: tuple[tuple[str, Named], ...] = ()
    """The words of the question that name one thing of the scene, and that thing."""
    direction: tuple[int, int] = (0, 0)
    """Where the first named thing is said to lie from the second: a unit step across or down, or none."""


TEMPLATES: dict[str, tuple[str, ...]] = {
    "exist": ("is there a {a}?", "do you see a {a}?", "does the picture show a {a}?"),
    "colour": ("what colour is the {a}?", "what color is the {a}?", "which colour does the {a} have?"),
    "shape": ("what shape is the {a} object?", "which shape is {a}?", "what is the {a} object?"),
    "count": ("how many {a} are there?", "how many {a} do you see?", "count the {a}."),
    "where": ("where is the {a}?", "in which part of the picture is the {a}?"),
    "left": ("is the {a} left of the {b}?", "is the {a} to the left of the {b}?"),
    "right": ("is the {a} right of the {b}?", "is the {a} to the right of the {b}?"),
    "above": ("is the {a} above the {b}?",),
    "below": ("is the {a} below the {b}?",),
    "leftmost": ("which is further left, the {a} or the {b}?", "what is further left, the {a} or the {b}?"),
    "text": (
        "what does the text say?",
        "what is written here?",
        "read the text.",
        "what is printed in the picture?",
    ),
    "word": ("what is the word?", "which word is printed?", "read the word."),
    "number": ("what is the number?", "which number is printed?", "read the number."),
    "ink": ("what does the {a} text say?", "what is written in {a}?", "read the {a} text."),
}
"""Wordings, by kind of question; ``{a}`` and ``{b}`` stand for what is asked about."""

DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "above": (0, -1), "below": (0, 1)}
"""Unit steps across and down."""

Made = tuple[str, str, str, str, tuple[Named, ...]] | None
"""Kind, ``{a}``, ``{b}``, answer, and the things that ``{a}`` and ``{b}`` name."""
_T = TypeVar("_T")


def pick(rng: np.random.Generator, items: Sequence[_T]) -> _T:
    """One of several."""
    return items[int(rng.integers(len(items)))]


def alone(things: Sequence[_T], key: Callable[[_T], str]) -> list[_T]:
    """Those that no other is like."""
    counts = Counter(map(key, things))
    return [thing for thing in things if counts[key(thing)] == 1]


def _exist(rng: np.random.Generator, scene: Scene) -> Made:
    present = [s.name for s in scene.shapes]
    if rng.random() < 0.5:
        return "exist", pick(rng, present), "", "yes", ()
    # Hard negatives: mostly a colour and a shape that are both there, but on different objects.
    hard = rng.random() < 0.7
    colours = [s.colour for s in scene.shapes] if hard else list(COLOURS)
    shapes = [s.shape for s in scene.shapes] if hard else list(SHAPES)
    name = f"{pick(rng, colours)} {pick(rng, shapes)}"
    return None if name in present else ("exist", name, "", "no", ())


def _colour(rng: np.random.Generator, scene: Scene) -> Made:
    shapes = alone(scene.shapes, lambda s: s.shape)
    shape = pick(rng, shapes) if shapes else None
    return None if shape is None else ("colour", shape.shape, "", shape.colour, (shape,))


def _shape(rng: np.random.Generator, scene: Scene) -> Made:
    shapes = alone(scene.shapes, lambda s: s.colour)
    shape = pick(rng, shapes) if shapes else None
    return None if shape is None else ("shape", shape.colour, "", shape.shape, (shape,))


def _count(rng: np.random.Generator, scene: Scene) -> Made:
    kind = rng.integers(5)
    if kind == 0:
        return "count", "shapes", "", str(len(scene.shapes)), ()
    there = rng.random() < 0.85
    if kind <= 2:
        name = pick(rng, [s.shape for s in scene.shapes] if there else list(SHAPES))
        plural = name + ("es" if name == "cross" else "s")
        return "count", plural, "", str(sum(s.shape == name for s in scene.shapes)), ()
    name = pick(rng, [s.colour for s in scene.shapes] if there else list(COLOURS))
    return "count", f"{name} shapes", "", str(sum(s.colour == name for s in scene.shapes)), ()


def has_clear_place(shape: Named) -> bool:
    """Whether its centre is off the borders of two thirds of the picture, where the answer is not clear."""
    return all(abs(c - SIZE * third / 3) >= 8 for c in (shape.x, shape.y) for third in (1, 2))


def _where(rng: np.random.Generator, scene: Scene) -> Made:
    shapes = alone(scene.shapes, lambda s: s.name)
    return where(pick(rng, shapes)) if shapes else None


def where(thing: Named) -> Made:
    """In which part of the picture it is, if that is clear."""
    if not has_clear_place(thing):
        return None
    return "where", thing.name, "", region_name(thing.x, thing.y), (thing,)


def _relation(rng: np.random.Generator, scene: Scene) -> Made:
    shapes = alone(scene.shapes, lambda s: s.name)
    if len(shapes) < 2:
        return None
    i, j = rng.choice(len(shapes), 2, replace=False)
    return relation(rng, shapes[i], shapes[j])


def relation(rng: np.random.Generator, a: Named, b: Named) -> Made:
    """How one thing lies to another, if they are far enough apart."""
    kind = ("left", "right", "above", "below", "leftmost", "leftmost")[int(rng.integers(6))]
    gap = b.y - a.y if kind in ("above", "below") else b.x - a.x
    if abs(gap) < 16:
        return None
    if kind == "leftmost":
        answer = (a if gap > 0 else b).name
    else:
        answer = "yes" if (gap > 0) == (kind in ("left", "above")) else "no"
    return kind, a.name, b.name, answer, (a, b)


def _read(rng: np.random.Generator, scene: Scene) -> Made:
    options: list[Made] = [("text", "", "", t.text, ()) for t in scene.texts] if len(scene.texts) == 1 else []
    inks = Counter(t.colour for t in scene.texts)
    options += [("ink", t.colour, "", t.text, ()) for t in scene.texts if inks[t.colour] == 1]
    for kind, is_number in (("number", True), ("word", False)):
        texts = [t.text for t in scene.texts if t.is_number is is_number]
        options += [(kind, "", "", texts[0], ())] if len(texts) == 1 else []
    return pick(rng, options) if options else None


SKILLS: dict[str, Callable[[np.random.Generator, Scene], Made]] = {
    "exist": _exist,
    "colour": _colour,
    "shape": _shape,
    "count": _count,
    "where": _where,
    "relation": _relation,
    "read": _read,
}
"""Skills and the makers of their questions."""


def ask(
    rng: np.random.Generator, scene: Scene, number: int, skills: dict[str, float] | None = None
) -> list[Question]:
    """Asks so many different questions about a scene at most, in random order; without shapes about text.

    ``skills`` is the weight of each skill; all alike if None.
    """

    def one(skill: str) -> Question | None:
        made = SKILLS[skill](rng, scene) if scene.shapes or skill == "read" else None
        return in_words(rng, skill, made, TEMPLATES)

    return different(rng, number, dict(skills) if skills else dict.fromkeys(SKILLS, 1.0), one)


def in_words(
    rng: np.random.Generator, skill: str, made: Made, templates: Mapping[str, Sequence[str]]
) -> Question | None:
    """A question in one of the wordings of its kind; None for none."""
    if made is None:
        return None
    kind, a, b, answer, things = made
    text = pick(rng, templates[kind]).format(a=a, b=b)
    named = tuple(zip((a, b), things, strict=False))
    return Question(skill, text, answer, named, DIRECTIONS.get(kind, (0, 0)))


def different(
    rng: np.random.Generator, number: int, skills: dict[str, float], one: Callable[[str], Question | None]
) -> list[Question]:
    """Draws so many different questions at most, in random order, by the weights of the skills.

    ``one`` makes a question of a skill; None where the picture gives none.
    """
    weights = np.asarray(list(skills.values()))
    by_text: dict[str, Question] = {}
    for skill in rng.choice(list(skills), size=3 * number, p=weights / weights.sum()):
        if len(by_text) == number:
            break
        question = one(str(skill))
        if question is not None:
            by_text.setdefault(question.text, question)
    return list(by_text.values())
