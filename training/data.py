"""Training batches: pictures, what each patch shows, and packed questions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info
from transformers import PreTrainedTokenizerFast

from apet.scenes import GRID, Region, ask, draw, patch_labels, sample_scene, seeded
from apet.scenes.labels import IGNORE, PatchLabels

FIELDS = tuple(PatchLabels.__dataclass_fields__)


@dataclass(frozen=True)
class BatchShape:
    """Size of a batch: pictures, patches along a side, packed text tokens (0: no questions) per picture."""

    pictures: int
    grid: int
    text: int


def pack(
    tokenizer: PreTrainedTokenizerFast, turns: list[tuple[str, str]], length: int, groups: list[int]
) -> dict[str, Tensor]:
    """Lays questions and answers one behind the other.

    Turns of one group see each other as a conversation does; groups see the picture and themselves only, and
    each starts at the position right behind the picture, as if it were alone.

    Returns:
        ``ids``, ``targets`` (the next token inside an answer, else ``IGNORE``), ``positions`` (counted from the
        end of the picture) and ``group`` (-1 is padding), each ``(length,)`` int64.
    """
    packed = {
        "ids": torch.full((length,), tokenizer.pad_token_id),
        "targets": torch.full((length,), IGNORE),
        "positions": torch.zeros(length, dtype=torch.long),
        "group": torch.full((length,), -1),
    }
    at, start, current = 0, 0, -1
    for (question, answer), group in zip(turns, groups, strict=True):
        asked = tokenizer(question + "\n", add_special_tokens=False)["input_ids"]
        answered = [*tokenizer(answer, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        ids = asked + answered
        if at + len(ids) > length:
            break
        if group != current:
            start, current = at, group
        end = at + len(ids)
        packed["ids"][at:end] = torch.tensor(ids)
        packed["targets"][at + len(asked) - 1 : end - 1] = torch.tensor(answered)
        packed["positions"][at:end] = torch.arange(at - start, end - start)
        packed["group"][at:end] = group
        at = end
    return packed


class Scenes(IterableDataset[dict[str, Tensor]]):
    """An endless stream of batches; batch ``i`` depends on ``first`` and ``i`` alone, not on the workers."""

    def __init__(
        self,
        shape: BatchShape,
        tokenizer: PreTrainedTokenizerFast,
        *,
        split: str = "train",
        first: int = 0,
        skills: dict[str, float] | None = None,
    ) -> None:
        self.shape, self.tokenizer, self.split, self.first, self.skills = (
            shape,
            tokenizer,
            split,
            first,
            skills,
        )

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        worker = get_worker_info()
        number, step = (worker.id, worker.num_workers) if worker else (0, 1)
        while True:
            start = self.first + number * self.shape.pictures
            yield self._collate([self._sample(start + i) for i in range(self.shape.pictures)])
            number += step

    def _sample(self, index: int) -> dict[str, Tensor]:
        rng = seeded(self.split, index)
        grid = self.shape.grid
        row, column = rng.integers(0, GRID - grid + 1, 2)
        scene = sample_scene(rng, Region(int(row), int(column), grid, grid))
        patches = (np.arange(grid)[:, None] + row) * GRID + np.arange(grid)[None, :] + column
        labels = patch_labels(scene)
        sample = {
            "pixels": torch.from_numpy(draw(scene)).permute(2, 0, 1),
            "patches": torch.from_numpy(patches.ravel()),
            **{name: torch.from_numpy(getattr(labels, name)) for name in FIELDS},
        }
        if self.shape.text:
            turns = [(q.text, q.answer) for q in ask(rng, scene, self.shape.text // 8, self.skills)]
            groups = np.cumsum(rng.random(len(turns)) > 0.25).tolist()
            sample |= pack(self.tokenizer, turns, self.shape.text, groups)
        return sample

    @staticmethod
    def _collate(samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        return {name: torch.stack([s[name] for s in samples]) for name in samples[0]}
