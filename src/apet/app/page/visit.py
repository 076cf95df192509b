"""What one visitor has before him: a picture, what the model's vision side made of it, and answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from apet.app.answering import generate_answer, question_inputs
from apet.app.frames import natural, open_frames
from apet.app.hints import hints_of
from apet.app.look import Look, look_at, panels_of
from apet.app.page.models import EMBEDDED, Models
from apet.core.errors import ApETError
from apet.evaluation.plain import applied
from apet.methods import METHODS, ApET, Method
from apet.pictures import plot
from apet.pictures.plot import read
from apet.pictures.ranks import draw_ranks
from apet.scenes import ask, draw, sample_scene, seeded

NOTHING = "nothing"
"""The choice of no other method."""

Row = tuple[str, str, str, str, str]
"""Method, answer, visual tokens, time to first token, whole time."""

Tell = Callable[[float, str], Any]
"""Is told how far the work is, from 0 to 1, and what is done now."""


@dataclass(frozen=True)
class Visit:
    """Everything of one visitor; a new picture or model makes a new one.

    The picture, or the frames of a video, as they are and as the model saw them, with its visual tokens; the
    model stays the same where another cannot be loaded. ``scenes`` counts drawn ones, ``questions`` can be
    asked about the last, and ``hint`` is what to know of the picture before an answer is believed.
    """

    pictures: tuple[Image.Image, ...] = ()
    seen: tuple[Image.Image, ...] = ()
    look: Look | None = None
    model: str = EMBEDDED
    scenes: int = 0
    questions: tuple[str, ...] = field(default=())
    hint: str | None = None

    @property
    def most(self) -> int:
        """The largest budget."""
        return 1 if self.look is None else self.look.least


def scene_visit(visit: Visit, models: Models) -> Visit:
    """Draws the next scene and looks at it."""
    rng = seeded("test", visit.scenes)
    scene = sample_scene(rng)
    picture = Image.fromarray(draw(scene))
    questions = tuple(question.text for question in ask(rng, scene, 6))
    new = replace(visit, scenes=visit.scenes + 1, questions=questions)
    return _looked(new, [picture], visit.model, models)


def upload_visit(visit: Visit, paths: Sequence[str], models: Models) -> Visit:
    """Opens uploaded files and looks at them; several are frames of a video, in the order of their names."""
    try:
        pictures = open_frames([Path(path) for path in sorted(paths, key=natural)], operation="upload")
    except ApETError as error:
        got = error.got
        for path in paths:
            got = got.replace(path, Path(path).name)
        raise ApETError("upload", got, error.expected) from None
    return _looked(replace(visit, questions=()), pictures, visit.model, models)


def again(visit: Visit, model: str, models: Models) -> Visit:
    """Looks at the same picture with another model."""
    if not visit.pictures:
        return replace(visit, model=models.check(model))
    return _looked(visit, visit.pictures, model, models)


def _looked(visit: Visit, pictures: Sequence[Image.Image], model: str, models: Models) -> Visit:
    with models.running(model) as (net, processor):
        look = look_at(net, processor, pictures)
        seen, _ = read(pictures, [look.results], processor=processor)
        hint = hints_of(pictures, net, processor, model)
    return replace(visit, pictures=tuple(pictures), seen=tuple(seen), look=look, model=model, hint=hint)


def comparable() -> list[str]:
    """Names of the methods that decide by the visual tokens alone: each is asked to choose among a few."""
    tokens = torch.linspace(-1, 1, 72).sin().view(1, 9, 8)
    names = []
    for name, method in METHODS.items():
        if name == "apet" or method.replaces:
            continue
        try:
            method(4).select(tokens, 4)
        except ApETError:
            continue
        names.append(name)
    return names


def methods_of(visit: Visit, keep: int, tolerance: float | None, other: str) -> dict[str, Method]:
    """ApET and what it is compared with, by the names that the page shows.

    Under a tolerance the other method gets as many tokens as ApET keeps of the visit's picture. A budget of
    more tokens than there are keeps all.
    """
    first = ApET(min(keep, visit.most)) if tolerance is None else ApET(tolerance=tolerance)
    named: dict[str, Method] = {"apet": first}
    if other != NOTHING:
        named[other] = METHODS[other](first.keep if tolerance is None else _share(visit, first))
    return named


def _share(visit: Visit, method: Method) -> int | float:
    """What a method keeps, as a budget for another: a count, or with several tiles the same share of each."""
    if visit.look is None:
        return 1
    decided = visit.look.decide(method)
    kept, tokens = sum(image.tokens_stage1 for image in decided), sum(image.tokens for image in decided)
    return kept if len(decided) == 1 else kept / tokens


def draw_visit(visit: Visit, methods: dict[str, Method]) -> tuple[Image.Image, Image.Image]:
    """The overlays of all methods, and ApET's errors by rank; the vision encoder does not run."""
    if visit.look is None:
        raise ApETError("show", "no picture", "a picture: upload one, or draw a scene")
    decided = [visit.look.decide(method) for method in methods.values()]
    each = [panels_of(method, images) for method, images in zip(methods.values(), decided, strict=True)]
    if len(visit.seen) > 1:  # several sheets of frames would be too small to see anything on
        each = [["kept"]]
    overlay = plot(
        visit.seen,
        *decided,
        labels=list(methods),
        panels=[name for name in each[0] if all(name in panels for panels in each)],
        side=340 if len(methods) == 1 else 400,
    )
    _, (decision, *_) = read(visit.seen, decided)
    return overlay, draw_ranks(decision, (520, 260))


def answer_visit(
    visit: Visit, question: str, methods: dict[str, Method], models: Models, longest: int, tell: Tell
) -> list[Row]:
    """Asks without compression and with each method, once each, after a run that is not counted."""
    if not visit.pictures:
        raise ApETError("ask", "no picture", "a picture: upload one, or draw a scene")
    tell(0.0, "waiting for the model")
    rows: list[Row] = []
    with models.running(visit.model) as (net, processor):
        inputs = question_inputs(net, processor, visit.pictures, question)
        steps: Sequence[tuple[str, Method | None]] = [("uncompressed", None), *methods.items()]
        tell(0.1, "warming up")
        generate_answer(net, processor, inputs, 1)
        for number, (name, method) in enumerate(steps):
            tell(0.2 + 0.8 * number / len(steps), name)
            with applied(net, method) as session:
                answer = generate_answer(net, processor, inputs, longest)
            if session is not None:
                tokens = f"{session.kept_stage1:,} of {session.visual_tokens:,}"
            else:
                tokens = f"{sum(len(part) for part in visit.look.tokens):,}" if visit.look else ""
            first, whole = (f"{1000 * s:,.0f} ms" for s in (answer.first_token_seconds, answer.seconds))
            rows.append((name, answer.text, tokens, first, whole))
    return rows
