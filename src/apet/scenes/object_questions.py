"""Questions about a collage: what its objects are, how many, where, and the shapes and words beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from apet.scenes.collage import Collage
from apet.scenes.objects import GROUPS, OBJECTS, Thing, plural
from apet.scenes.questions import DIRECTIONS, Named, Question, ask, different, has_clear_place
from apet.scenes.scene import region_name

OBJECT_TEMPLATES: dict[str, tuple[str, ...]] = {
    "here": ("what {a} is at the {b}?", "which {a} is at the {b}?"),
    "only": ("what {a} is there?", "which {a} do you see?"),
    "exist": ("is there {a}?", "do you see {a}?", "does the picture show {a}?"),
    "count": ("how many {a} are there?", "how many {a} do you see?", "count the {a}."),
    "where": ("where is the {a}?", "in which part of the picture is the {a}?"),
    "left": ("is the {a} left of the {b}?", "is the {a} to the left of the {b}?"),
    "right": ("is the {a} right of the {b}?", "is the {a} to the right of the {b}?"),
    "above": ("is the {a} above the {b}?",),
    "below": ("is the {a} below the {b}?",),
    "leftmost": ("which is further left, the {a} or the {b}?", "what is further left, the {a} or the {b}?"),
}
"""Wordings, by kind of question; ``{a}`` and ``{b}`` stand for what is asked about."""
_SHAPES = {"exist": 1.0, "colour": 1.0, "shape": 1.0, "count": 1.0, "where": 1.0, "relation": 1.0}

_Made = tuple[str, str, str, str, tuple[Named, ...]] | None
"""Kind, ``{a}``, ``{b}``, answer, and the things that ``{a}`` and ``{b}`` name."""


def _with_article(name: str) -> str:
    return f"{'an' if name[0] in 'aeio' else 'a'} {name}"


def _single(collage: Collage) -> list[Thing]:
    """The objects whose names name one thing alone."""
    counts = Counter(thing.name for thing in collage.things)
    return [thing for thing in collage.things if counts[thing.name] == 1]


def _name(rng: np.random.Generator, collage: Collage) -> _Made:
    thing = collage.things[int(rng.integers(len(collage.things)))]
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


def _exist(rng: np.random.Generator, collage: Collage) -> _Made:
    present = [thing.name for thing in collage.things]
    some = present[int(rng.integers(len(present)))]
    if rng.random() < 0.5:
        return "exist", _with_article(some), "", "yes", ()
    # Hard negatives: mostly another of the same group.
    names = GROUPS[OBJECTS[some]] if rng.random() < 0.7 else tuple(OBJECTS)
    name = names[int(rng.integers(len(names)))]
    return None if name in present else ("exist", _with_article(name), "", "no", ())


def _count(rng: np.random.Generator, collage: Collage) -> _Made:
    names = [thing.name for thing in collage.things]
    kinds = sorted(set(names)) if rng.random() < 0.9 else list(OBJECTS)
    name = kinds[int(rng.integers(len(kinds)))]
    return "count", plural(name), "", str(names.count(name)), ()


def _where(rng: np.random.Generator, collage: Collage) -> _Made:
    clear = [thing for thing in _single(collage) if has_clear_place(thing)]
    if not clear:
        return None
    thing = clear[int(rng.integers(len(clear)))]
    return "where", thing.name, "", region_name(thing.x, thing.y), (thing,)


def _relation(rng: np.random.Generator, collage: Collage) -> _Made:
    shapes = Counter(f"{shape.colour} {shape.shape}" for shape in collage.shapes)
    named: list[tuple[str, Named]] = [(thing.name, thing) for thing in _single(collage)]
    objects = len(named)
    for shape in collage.shapes:
        name = f"{shape.colour} {shape.shape}"
        named += [(name, shape)] if shapes[name] == 1 else []
    if not objects or len(named) < 2:
        return None
    first = int(rng.integers(objects))
    second = (first + int(rng.integers(1, len(named)))) % len(named)
    pair = [named[first], named[second]]
    (a, one), (b, other) = pair if rng.random() < 0.5 else pair[::-1]
    kind = ("left", "right", "above", "below", "leftmost", "leftmost")[int(rng.integers(6))]
    gap = other.y - one.y if kind in ("above", "below") else other.x - one.x
    if abs(gap) < 16:
        return None
    if kind == "leftmost":
        return kind, a, b, a if gap > 0 else b, (one, other)
    return kind, a, b, "yes" if (gap > 0) == (kind in ("left", "above")) else "no", (one, other)


OBJECT_SKILLS: dict[str, Callable[[np.random.Generator, Collage], _Made]] = {
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
    """Asks about a collage.

    Args:
        rng: Source of randomness.
        collage: What the picture shows.
        number: How many questions at most.
        skills: Weight of each skill out of `OBJECT_SKILLS`, ``"photo_shapes"`` and ``"photo_read"``; all
            alike if None.

    Returns:
        Different questions, in random order.
    """
    names = [*OBJECT_SKILLS, "photo_shapes", "photo_read"]
    weights = {name: 1.0 if skills is None else skills.get(name, 0.0) for name in names}
    return different(rng, number, weights, lambda skill: _ask_one(rng, collage, skill))


def _ask_one(rng: np.random.Generator, collage: Collage, skill: str) -> Question | None:
    if skill.startswith("photo"):
        turns = ask(rng, collage, 1, {"read": 1.0} if skill == "photo_read" else _SHAPES)
        return replace(turns[0], skill=skill) if turns else None
    made = OBJECT_SKILLS[skill](rng, collage) if collage.things else None
    if made is None:
        return None
    kind, a, b, answer, things = made
    wordings = OBJECT_TEMPLATES[kind]
    text = wordings[int(rng.integers(len(wordings)))].format(a=a, b=b)
    named = tuple(zip((a, b), things, strict=False))
    return Question(skill, text, answer, named, DIRECTIONS.get(kind, (0, 0)))
