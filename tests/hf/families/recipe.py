"""What a test needs to know about a family: how to build a tiny model, and its inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

PAD_TOKEN, BOS_TOKEN = 0, 1
VOCABULARY = 64
IMAGE, VIDEO, START, END = 60, 61, 62, 63
"""Ids of placeholders and of tokens around images; text uses 3 to 58."""
Part = str | int
"""A letter for an image or a video, or a number of random text tokens."""


@dataclass(frozen=True)
class Piece:
    """One image or video in a prompt.

    Attributes:
        ids: Its tokens in the prompt, with everything around the placeholders.
        tensors: Its inputs, by name; those of a batch are joined by ``join``.
    """

    ids: list[int]
    tensors: dict[str, Tensor]


@dataclass(frozen=True)
class Recipe:
    """A tiny model of one family, and how to ask it.

    Attributes:
        name: Unique name; the model type, with a suffix where one type has several recipes.
        build: Makes the random model, in float32 and eval mode, for an attention implementation.
        pieces: Makes images and videos by a letter (``"i"`` an image, ``"j"`` one of another size, ``"v"`` a
            video, ``"w"`` one of another length), from a generator.
        finish: Joins the tensors of all pieces of a batch, in order, and adds what depends on the ids.
        prompts: Rows of parts: letters of pieces, or a number of random text tokens.
        layer: Decoder layer of stage 2.
        keep: Stage 1's budget: fewer than the smallest unit has.
        later: Stage 2's budget.
        attention: Attention implementations that transformers supports for it.
        short: Whether to compare with the short sequence instead of the masked one, where layers carry a
            state that a mask does not reach (linear attention).
        generates: Whether ``generate`` works on the tiny model.
        since: Releases of transformers before which plain transformers itself cannot run some prompts, by the
            prompt's name; by ``""`` for all of them.
        broken: Releases whose own model of this type does not run.
    """

    name: str
    build: Callable[[str], Any]
    pieces: dict[str, Callable[[torch.Generator], Piece]]
    finish: Callable[[dict[str, Tensor], list[Piece]], dict[str, Tensor]]
    prompts: dict[str, list[list[Part]]]
    layer: int = 2
    keep: int = 4
    later: int = 2
    attention: tuple[str, ...] = ("sdpa", "eager")
    short: bool = False
    generates: bool = True
    since: dict[str, str] = field(default_factory=dict)
    broken: tuple[str, ...] = ()


Prompts = dict[str, list[list[Part]]]

IMAGES: Prompts = {
    "image": [["i", 5], [3, "i", 9]],
    # The image of more tiles first: then a wrong rule for where images begin gives another number of them.
    "images": [[2, "j", 1, "i", 5], [3, "i", 9]],
    "text row": [["i", 5], [7]],
}
"""Prompts for families that take images of several sizes."""
SAME: Prompts = {
    "image": [["i", 5], [3, "i", 9]],
    "images": [[2, "i", 1, "i", 5], [3, "i", 9]],
    "text row": [["i", 5], [7]],
}
"""Prompts for families whose images all have one size."""
VIDEOS: Prompts = {
    "video": [[2, "v", 5], [3, "v", 9]],
    "image and video": [[2, "i", 3, "v", 5], [3, "i", 9]],
}
EVEN: Prompts = {"rows of one length": [["j", 5], ["i", 13]]}
"""With grids, nothing is padded until stage 2 drops more of one row than of the other."""


def batch(
    recipe: Recipe, rows: Sequence[Sequence[Part]], *, seed: int = 1, side: str = "left"
) -> dict[str, Tensor]:
    """Inputs of a batch of rows, padded to one length; every row starts with the BOS token.

    Args:
        recipe: Whose pieces the letters name.
        rows: One sequence of parts per row.
        seed: Seed of the text and the pictures.
        side: Where padding goes.
    """
    generator = torch.Generator().manual_seed(seed)
    return _pad(recipe, [_row(recipe, row, generator) for row in rows], side)


def single(
    recipe: Recipe, rows: Sequence[Sequence[Part]], number: int, *, seed: int = 1
) -> dict[str, Tensor]:
    """One of the same rows, alone."""
    generator = torch.Generator().manual_seed(seed)
    return _pad(recipe, [[_row(recipe, row, generator) for row in rows][number]])


def packed(recipe: Recipe, rows: Sequence[Sequence[Part]], *, seed: int = 1) -> dict[str, Tensor]:
    """The same rows one after another in a single row."""
    generator = torch.Generator().manual_seed(seed)
    parts = [_row(recipe, row, generator) for row in rows]
    ids = [token for own, _ in parts for token in own]
    return _pad(recipe, [(ids, [piece for _, own in parts for piece in own])])


def _row(recipe: Recipe, row: Sequence[Part], generator: torch.Generator) -> tuple[list[int], list[Piece]]:
    ids, pieces = [BOS_TOKEN], []
    for part in row:
        if isinstance(part, str):
            pieces.append(recipe.pieces[part](generator))
            ids += pieces[-1].ids
        else:
            ids += torch.randint(3, 59, (part,), generator=generator).tolist()
    return ids, pieces


def _pad(recipe: Recipe, rows: list[tuple[list[int], list[Piece]]], side: str = "left") -> dict[str, Tensor]:
    length = max(len(ids) for ids, _ in rows)

    def padded(values: list[int], fill: int) -> list[int]:
        padding = [fill] * (length - len(values))
        return padding + values if side == "left" else values + padding

    inputs = {
        "input_ids": torch.tensor([padded(ids, PAD_TOKEN) for ids, _ in rows]),
        "attention_mask": torch.tensor([padded([1] * len(ids), 0) for ids, _ in rows]),
    }
    return recipe.finish(inputs, [piece for _, pieces in rows for piece in pieces])
