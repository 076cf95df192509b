"""The pictures and questions of the package easy-vqa, which nobody here drew."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from apet.scenes.photographs import data_of
from apet.scenes.questions import Question

EASY_COLOURS = ("black", "blue", "brown", "gray", "green", "red", "teal", "yellow")
EASY_SHAPES = ("circle", "rectangle", "triangle")
EASY_TASKS = ("easy_exist", "easy_colour", "easy_shape")
"""Its questions by what is answered: yes or no, one of 8 colours, one of 3 shapes."""
_HELD_BACK = 500


@dataclass(frozen=True)
class EasyPicture:
    """One picture of the package, by the folder and number of its file."""

    folder: str
    number: int


def easy_pictures(split: str) -> tuple[EasyPicture, ...]:
    """The pictures of a split; validation is the last part of what the package has for training."""
    numbers = sorted(_questions("test" if split == "test" else "train"))
    if split != "test":
        numbers = numbers[-_HELD_BACK:] if split == "validation" else numbers[:-_HELD_BACK]
    return tuple(EasyPicture("test" if split == "test" else "train", number) for number in numbers)


def ask_easy(picture: EasyPicture) -> list[Question]:
    """The package's questions about a picture, in its order and words."""
    return [
        Question(_task(answer), text, answer) for text, answer in _questions(picture.folder)[picture.number]
    ]


def show_easy(picture: EasyPicture) -> NDArray[np.uint8]:
    """The picture as it is, ``(64, 64, 3)``."""
    with Image.open(_data() / picture.folder / "images" / f"{picture.number}.png") as image:
        return np.asarray(image.convert("RGB"), np.uint8)


def _task(answer: str) -> str:
    if answer in EASY_COLOURS:
        return "easy_colour"
    return "easy_shape" if answer in EASY_SHAPES else "easy_exist"


@lru_cache(maxsize=2)
def _questions(folder: str) -> dict[int, list[tuple[str, str]]]:
    by_picture = defaultdict(list)
    for text, answer, number in json.loads((_data() / folder / "questions.json").read_text()):
        by_picture[int(number)].append((text, answer))
    return dict(by_picture)


def _data() -> Path:
    return data_of("easy_vqa", "easy-vqa", "the easy_vqa tasks")
