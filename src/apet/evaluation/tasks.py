"""Tasks by name, and their questions about pictures of a held-out split."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from PIL import Image

from apet.core.errors import ApETError
from apet.core.words import one_of
from apet.embedded.reference import NAME
from apet.scenes.sources import SOURCES, Drawn, Kind, Source

_MOST_PICTURES_PER_CASE = 60


TASKS: dict[str, Source] = {name: source for source in SOURCES.values() for name in source.tasks}
"""The kind of pictures that each task, by its name on the command line and in rows, asks about."""


@dataclass(frozen=True)
class Case:
    """One question, or one conversation, about one drawn content; right is an exact match.

    Attributes:
        task: Name of its task.
        group: What it is about; questions about one content share it, and the bootstrap draws these.
        turns: The questions, in order.
        answers: The right answer to each.
        key: Hash of everything that is shown and asked: another content never has the same.
    """

    task: str
    group: str
    turns: tuple[str, ...]
    answers: tuple[str, ...]
    key: str
    drawn: Drawn = field(repr=False, compare=False)

    @property
    def kind(self) -> Kind:
        """What it shows."""
        return TASKS[self.task].kind

    def pictures(self) -> list[Image.Image]:
        """The pictures, or the frames of the video, in order."""
        return [Image.fromarray(pixels) for pixels in self.drawn.paint()]

    def score(self, given: Sequence[str]) -> float:
        """Share of the turns that are answered rightly: the same but for case, spaces and a full stop."""
        right = [same_answer(a, b) for a, b in zip(given, self.answers, strict=True)]
        return sum(right) / len(right)


def same_answer(given: str, right: str) -> bool:
    """Exact match but for case, spaces and a full stop at the end."""
    return _plain(given) == _plain(right)


def _plain(answer: str) -> str:
    return " ".join(answer.casefold().split()).removesuffix(".")


def default_tasks(*, embedded: bool, name: str = "embedded") -> list[str]:
    """The tasks that run if none are named: for a model of the project those that it was trained on.

    Args:
        embedded: Whether it is a model of the project, or a retrained one.
        name: Which one.
    """
    available = [task for task, source in TASKS.items() if source.available]
    return [task for task in available if not embedded or is_trained(task, name)]


def is_trained(task: str, name: str) -> bool:
    """Whether a model of the project, the embedded one if no other has this name, was trained for a task."""
    return (NAME if name == NAME else "embedded") in TASKS[task].trained


def is_drawn(name: str) -> bool:
    """Whether a name is that of a task here, or of a kind of pictures; others are lmms-eval's."""
    return name in TASKS or name in SOURCES or name == "all"


def resolve_tasks(names: Sequence[str]) -> list[str]:
    """Task names from names of tasks and of kinds of pictures, such as ``scenes``.

    ``all`` is every task whose pictures are installed.

    Raises:
        ApETError: If a name is neither.
    """
    found: list[str] = []
    for name in names:
        if name in TASKS:
            found.append(name)
        elif name in SOURCES:
            found += SOURCES[name].tasks
        elif name == "all":
            found += [task for task, source in TASKS.items() if source.available]
        else:
            raise ApETError(
                "eval --tasks", repr(name), one_of(dict.fromkeys([*TASKS, *SOURCES, "all"]), name)
            )
    return list(dict.fromkeys(found))


def draw_cases(tasks: Sequence[str], limit: int, split: str = "test") -> list[Case]:
    """The first ``limit`` questions of every task, over the pictures of a split in order.

    A larger limit adds questions and changes none. Questions about the same content stand together.

    Args:
        tasks: Names of tasks.
        limit: Questions per task.
        split: ``"train"``, ``"validation"`` or ``"test"``; only the first was trained on.

    Raises:
        ApETError: If a task's pictures give too few questions.
    """
    cases: list[Case] = []
    for name, source in SOURCES.items():
        own_tasks = [task for task in source.tasks if task in tasks]
        count: Counter[str] = Counter()
        index = 0
        while any(count[task] < limit for task in own_tasks):
            if index > _MOST_PICTURES_PER_CASE * limit:
                raise ApETError("eval", f"{index} pictures without {limit} questions", "a task that asks")
            drawn = source.drawn(split, index)
            for dialogue in drawn.dialogues:
                task = dialogue[0].skill
                if task in own_tasks and count[task] < limit:
                    count[task] += 1
                    turns = tuple(question.text for question in dialogue)
                    answers = tuple(question.answer for question in dialogue)
                    group = f"{name}/{split}/{index}"
                    shown = repr((group, drawn.content, turns, answers))
                    key = hashlib.sha256(shown.encode()).hexdigest()[:16]
                    cases.append(Case(task, group, turns, answers, key, drawn))
            index += 1
    return cases
