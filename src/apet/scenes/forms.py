"""Pages like filled-in forms: a heading, and printed labels with their values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apet.scenes.drawing import background, blend, finish, print_text
from apet.scenes.masks import char_pitch, line_height
from apet.scenes.questions import Question
from apet.scenes.scene import SIZE, Region
from apet.scenes.vocabulary import WORDS

_FIELDS = ("NAME", "CITY", "CODE", "DATE", "ROOM", "TOTAL", "PRICE", "SIZE", "TYPE", "GATE", "SEAT", "TEAM")
_HEADINGS = ("ORDER", "TICKET", "INVOICE", "PERMIT", "RECEIPT", "BOOKING")
_VALUES = 138
_INK, _HEAD = 17, 24


@dataclass(frozen=True)
class Form:
    """One page: its heading, and fields with a label and a value each. ``seed`` fixes paper and ink."""

    seed: int
    heading: str
    fields: tuple[tuple[str, str], ...]


def sample_form(rng: np.random.Generator) -> Form:
    """A page of 5 to 7 fields, all labels and all values different."""
    count = int(rng.integers(5, 8))
    labels = rng.choice(_FIELDS, count, replace=False)
    values: list[str] = []
    while len(values) < count:
        number = rng.random() < 0.5
        value = str(rng.integers(10, 100_000)) if number else str(rng.choice(WORDS))
        if value not in values:
            values.append(value)
    fields = tuple((str(label), value) for label, value in zip(labels, values, strict=True))
    return Form(int(rng.integers(2**31)), str(rng.choice(_HEADINGS)), fields)


def ask_form(rng: np.random.Generator, form: Form, number: int = 3) -> list[Question]:
    """Asks for values by label, and once for a label by its value."""
    chosen = rng.choice(len(form.fields), number, replace=False)
    (label, value), *others = (form.fields[int(i)] for i in chosen)
    questions = [(f"which field says {value}?", label)]
    questions += [(f"what is the {name.lower()}?", field_value) for name, field_value in others]
    return [Question("forms", text, answer) for text, answer in questions]


def draw_form(form: Form) -> NDArray[np.uint8]:
    """Draws a page, ``(336, 336, 3)``; the same form always gives the same pixels."""
    rng = np.random.default_rng(form.seed)
    desk = background(rng, bool(rng.random() < 0.3), Region())
    left, top, right, bottom = 12, 10, SIZE - 12, SIZE - 10
    paper = (rng.uniform(234, 250) + rng.uniform(-6, 4, 3)).astype(np.float32)
    grain = rng.normal(0, 2, (bottom - top, right - left, 1)).astype(np.float32)
    blend(desk, np.full((bottom - top, right - left), 0.3, np.float32), paper * 0, left + 4, top + 4)
    blend(desk, np.ones((bottom - top, right - left), np.float32), paper + grain, left, top)
    ink = rng.uniform(20, 55, 3).astype(np.float32)
    pen = np.asarray((rng.uniform(15, 45), rng.uniform(30, 70), rng.uniform(120, 180)), np.float32)
    print_text(desk, form.heading, ink, left + 14, top + 14, _HEAD)
    blend(desk, np.full((2, right - left - 28), 0.9, np.float32), ink, left + 14, top + 42)
    step = min(36, (bottom - top - 66) // len(form.fields))
    for i, (label, value) in enumerate(form.fields):
        y = top + 62 + i * step
        print_text(desk, label, ink, left + 14, y, _INK)
        print_text(desk, value, pen, _VALUES, y, _INK)
        width = max(char_pitch(_INK) * len(value) + 10, 120)
        blend(desk, np.full((1, width), 0.6, np.float32), ink, _VALUES - 4, y + line_height(_INK) + 4)
    return finish(desk)
