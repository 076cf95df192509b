"""Training batches: pictures, what each patch shows, and questions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info
from transformers import PreTrainedTokenizerFast

from apet.scenes import GRID, SIZE, Question, Region, ask, draw, sample_scene, seeded
from training.labels import IGNORE, PatchLabels, patch_labels

FIELDS = tuple(PatchLabels.__dataclass_fields__)


SLOTS = 20
"""Places for the tokens of one question and its answer; the longest needs 18."""


@dataclass(frozen=True)
class BatchShape:
    """Size of a batch: pictures, patches along a side of each, and questions about each (0: none)."""

    pictures: int
    grid: int
    questions: int


def lay_out(tokenizer: PreTrainedTokenizerFast, turns: list[Question], number: int) -> dict[str, Tensor]:
    """Puts every question and its answer into a row of ``SLOTS`` tokens.

    Returns:
        ``ids`` and ``targets`` (the next token inside an answer, else ``IGNORE``), each ``(number, SLOTS)``
        int64; ``spots`` and ``gaps``, each ``(number, SLOTS, 2)``, and ``claims``, ``(number, SLOTS, 1)``,
        float32, all NaN where there is nothing to tell. A spot stands at the last token of the words that
        name a shape: its centre, from -1 to 1 across and down the picture. The others stand at the last
        token of a question about two shapes. The gap is how far the first lies behind the second, in quarters
        of the picture, cut to -1 to 1; the claim, where the question says which way the first lies, is the
        gap that way. Rows without a question are padding.
    """
    ids = torch.full((number, SLOTS), tokenizer.pad_token_id)
    targets = torch.full((number, SLOTS), IGNORE)
    spots = torch.full((number, SLOTS, 2), torch.nan)
    gaps, claims = spots.clone(), spots[..., :1].clone()
    for row, turn in enumerate(turns):
        encoded = tokenizer(turn.text + "\n", add_special_tokens=False, return_offsets_mapping=True)
        asked, ends = encoded["input_ids"], [end for _, end in encoded["offset_mapping"]]
        for words, shape in turn.named:
            place = re.search(rf" {words}\b", turn.text)
            named = ends.index(place.end() if place else 0)
            spots[row, named] = torch.tensor([shape.x, shape.y]) / (SIZE / 2) - 1
        if len(turn.named) == 2:
            (_, first), (_, second) = turn.named
            gap = torch.tensor([first.x - second.x, first.y - second.y])
            gaps[row, len(asked) - 1] = (gap / (SIZE / 4)).clamp(-1, 1)
            if any(turn.direction):
                way = torch.tensor(turn.direction, dtype=torch.float32)
                claims[row, len(asked) - 1] = gaps[row, len(asked) - 1] @ way
        answered = [*tokenizer(turn.answer, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        ids[row, : len(asked) + len(answered)] = torch.tensor(asked + answered)
        targets[row, len(asked) - 1 : len(asked) + len(answered) - 1] = torch.tensor(answered)
    return {"ids": ids, "targets": targets, "spots": spots, "gaps": gaps, "claims": claims}


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
        if self.shape.questions:
            turns = ask(rng, scene, self.shape.questions, self.skills)
            sample |= lay_out(self.tokenizer, turns, self.shape.questions)
        return sample

    @staticmethod
    def _collate(samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        return {name: torch.stack([s[name] for s in samples]) for name in samples[0]}
