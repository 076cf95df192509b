"""Questions about a collage: what its objects are, how many, where, and the shapes and words beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from apet.scenes.collage import Collage
from apet.scenes.objects import GROUPS, OBJECTS, Thing, plural
from apet.scenes.questions import (
    DIRECTIONS,
    TEMPLATES,
    Made,
    Named,
    Question,
    alone,
    ask,
    different,
    has_clear_place,
    in_words,
    pick,
    relation,
    where,
)
from apet.scenes.scene import region_name

OBJECT_TEMPLATES: dict[str, tuple[str, ...]] = {
    "here": ("what {a} is at the {b}?", "which {a} is at the {b}?"),
    "only": ("what {a} is there?", "which {a} do you see?"),
    "exist": ("is there {a}?", "do you see {a}?", "does the picture show {a}?"),
    **{kind: TEMPLATES[kind] for kind in ("count", "where", *DIRECTIONS, "leftmost")},
}
"""Wordings, by kind of question; ``{a}`` and ``{b}`` stand for what is asked about."""
_SHAPES = {"exist": 1.0, "colour": 1.0, "shape": 1.0, "count": 1.0, "where": 1.0, "relation": 1.0}


def _with_article(name: str) -> str:
    return f"{'an' if name[0] in 'aeio' else 'a'} {name}"


def _name(rng: np.random.Generator, collage: Collage) -> Made:
    thing = pick(rng, collage.things)
    group = OBJECTS[thing.name]
    alike = [other for other in collage.things if OBJECTS[other.name] == group]
    if len(alike) == 1 and rng.random() < 0.3:
        return "only", group, "", thing.name, ()
    place = region_name(thing.x, thing.y)
    near = [other for other in alike if other is not thing and not _far(other, place)]
    if near or not has_clear_place(thing):
        return None
    return "here", group, place, thing.name, ()


def _far(thing: Thing, place: str) -> bool:
    """Whether it is wholly clear that the object does not stand in this part of the picture."""
    return has_clear_place(thing) and region_name(thing.x, thing.y) != place


def _exist(rng: np.random.Generator, collage: Collage) -> Made:
    present = [thing.name for thing in collage.things]
    some = pick(rng, present)
    if rng.random() < 0.5:
        return "exist", _with_article(some), "", "yes", ()
    # Hard negatives: mostly another of the same group.
    names = GROUPS[OBJECTS[some]] if rng.random() < 0.7 else tuple(OBJECTS)
    name = pick(rng, names)
    return None if name in present else ("exist", _with_article(name), "", "no", ())


def _count(rng: np.random.Generator, collage: Collage) -> Made:
    names = [thing.name for thing in collage.things]
    kinds = sorted(set(names)) if rng.random() < 0.9 else list(OBJECTS)
    name = pick(rng, kinds)
    return "count", plural(name), "", str(names.count(name)), ()


def _where(rng: np.random.Generator, collage: Collage) -> Made:
    clear = [thing for thing in alone(collage.things, lambda one: one.name) if has_clear_place(thing)]
    return where(pick(rng, clear)) if clear else None


def _relation(rng: np.random.Generator, collage: Collage) -> Made:
    objects = alone(collage.things, lambda one: one.name)
    named: list[Named] = [*objects, *alone(collage.shapes, lambda one: one.name)]
    if not objects or len(named) < 2:
        return None
    first = int(rng.integers(len(objects)))
    second = (first + int(rng.integers(1, len(named)))) % len(named)
    pair = [named[first], named[second]]
    return relation(rng, *(pair if rng.random() < 0.5 else pair[::-1]))


OBJECT_SKILLS: dict[str, Callable[[np.random.Generator, Collage], Made]] = {
    "object_name": _name,
    "object_exist": _exist,
    "object_count": _count,
    "object_where": _where,
    "object_relation": _relation,
}
"""Skills about objects and the makers of their questions."""


def ask_collage(
    rng: np.random.Generator, collage: Collage, number: int, skills: dict[str, float] | None = None
) -> list[Question]:
    """Asks so many different questions about a collage at most, in random order.

    ``skills`` is the weight of each of `OBJECT_SKILLS`, ``"photo_shapes"`` and ``"photo_read"``; all alike if
    None.
    """
    names = [*OBJECT_SKILLS, "photo_shapes", "photo_read"]
    weights = {name: 1.0 if skills is None else skills.get(name, 0.0) for name in names}
    return different(rng, number, weights, lambda skill: _ask_one(rng, collage, skill))


def _ask_one(rng: np.random.Generator, collage: Collage, skill: str) -> Question | None:
    if skill.startswith("photo"):
        turns = ask(rng, collage, 1, {"read": 1.0} if skill == "photo_read" else _SHAPES)
        return replace(turns[0], skill=skill) if turns else None
    made = OBJECT_SKILLS[skill](rng, collage) if collage.things else None
    return in_words(rng, skill, made, OBJECT_TEMPLATES)
