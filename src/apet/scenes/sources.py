"""Every kind of drawn picture by name, as evaluation asks for it.

A new kind touches its own file, a row in `SOURCES` and a row in ``tests/scenes/source_table.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from apet.core.errors import ApETError
from apet.scenes.charts import ask_chart, draw_chart, sample_chart
from apet.scenes.collage import draw_collage, sample_collage
from apet.scenes.drawing import draw
from apet.scenes.easy_vqa import EASY_TASKS, ask_easy, easy_pictures, show_easy
from apet.scenes.forms import ask_form, draw_form, sample_form
from apet.scenes.object_questions import OBJECT_SKILLS, ask_collage
from apet.scenes.questions import SKILLS, Question, ask
from apet.scenes.scene import sample_scene, seeded
from apet.scenes.several import ask_album, ask_in_turns, sample_album
from apet.scenes.small import ask_small, sample_small
from apet.scenes.video import ask_clip, draw_clip, sample_clip

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
        trained: Names of the project's models that were trained on pictures and questions like these.
        make: Draws one from a generator; it is told split and index too.
        package: What has to be installed, by the name that it is imported under; empty if nothing more.
    """

    kind: Kind
    stream: int
    tasks: tuple[str, ...]
    trained: tuple[str, ...]
    make: Callable[[np.random.Generator, str, int], Drawn]
    package: str = ""

    @property
    def available(self) -> bool:
        """Whether what it needs is installed."""
        return not self.package or find_spec(self.package) is not None

    def drawn(self, split: str, index: int) -> Drawn:
        """Number ``index`` of a split, ``"train"``, ``"validation"`` or ``"test"``."""
        return self.make(seeded(split, index, self.stream), split, index)


def _scene(rng: np.random.Generator, *_: object) -> Drawn:
    scene = sample_scene(rng)
    return Drawn(scene, partial(_each, draw, (scene,)), _singly(ask(rng, scene, 8)))


def _small(rng: np.random.Generator, *_: object) -> Drawn:
    scene = sample_small(rng)
    return Drawn(scene, partial(_each, draw, (scene,)), _singly(ask_small(rng, scene, 4)))


def _chart(rng: np.random.Generator, *_: object) -> Drawn:
    chart = sample_chart(rng)
    return Drawn(chart, partial(_each, draw_chart, (chart,)), _singly(ask_chart(rng, chart)))


def _form(rng: np.random.Generator, *_: object) -> Drawn:
    form = sample_form(rng)
    return Drawn(form, partial(_each, draw_form, (form,)), _singly(ask_form(rng, form)))


def _several(rng: np.random.Generator, *_: object) -> Drawn:
    album = sample_album(rng)
    return Drawn(album, partial(_each, draw, album.scenes), _singly(ask_album(rng, album)))


def _turns(rng: np.random.Generator, *_: object) -> Drawn:
    scene = sample_scene(rng)
    turns = ask_in_turns(rng, scene)
    return Drawn(scene, partial(_each, draw, (scene,)), (turns,) if turns else ())


def _video(rng: np.random.Generator, *_: object) -> Drawn:
    clip = sample_clip(rng)
    return Drawn(clip, partial(draw_clip, clip), _singly(ask_clip(clip)))


def _collage(rng: np.random.Generator, split: str, _: int) -> Drawn:
    collage = sample_collage(rng, split)
    return Drawn(collage, partial(_each, draw_collage, (collage,)), _singly(ask_collage(rng, collage, 8)))


def _easy(_: np.random.Generator, split: str, index: int) -> Drawn:
    pictures = easy_pictures(split)
    if index >= len(pictures):
        raise ApETError(
            "eval --limit", f"more than the {len(pictures)} pictures of easy-vqa", "a smaller one"
        )
    picture = pictures[index]
    return Drawn(picture, partial(_each, show_easy, (picture,)), _singly(ask_easy(picture)))


def _singly(questions: list[Question]) -> tuple[tuple[Question, ...], ...]:
    return tuple((question,) for question in questions)


def _each(paint: Callable[[Any], Pixels], contents: Sequence[object]) -> list[Pixels]:
    return [paint(content) for content in contents]


_BOTH = ("embedded", "dinov2")
_EYE = ("dinov2",)

SOURCES: dict[str, Source] = {
    "scenes": Source("image", 0, tuple(SKILLS), _BOTH, _scene),
    "small": Source("image", 1, ("small_objects", "small_text"), _BOTH, _small),
    "charts": Source("image", 2, ("bars", "lines"), (), _chart),
    "forms": Source("image", 3, ("forms",), (), _form),
    "several": Source("images", 4, ("several",), (), _several),
    "turns": Source("image", 5, ("turns",), (), _turns),
    "video": Source("video", 6, ("video",), (), _video),
    "collages": Source("image", 7, (*OBJECT_SKILLS, "photo_shapes", "photo_read"), _EYE, _collage, "skimage"),
    "easy_vqa": Source("image", 8, EASY_TASKS, _EYE, _easy, "easy_vqa"),
}
"""Kinds of pictures by name."""
