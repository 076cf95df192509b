"""Training batches: cached features, what their patches show, and new questions about their pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from apet.core.errors import ApETError
from apet.scenes import GRID, PATCH, sample_scene, seeded
from apet.scenes.collage import Collage, sample_collage
from apet.scenes.objects import OBJECTS
from apet.scenes.scene import Scene
from training.data import lay_out
from training.eye.pictures import COLLAGES, KINDS
from training.labels import IGNORE, patch_labels

SHOWN = ("colour", "shape", "char", "place")
"""What a patch that shows a shape or a character is asked for; empty patches are asked for nothing."""
_NAMES = tuple(OBJECTS)
_SCENES: dict[str, Callable[[int], Scene]] = {
    "scenes": lambda index: sample_scene(seeded("train", index)),
    "collages": lambda index: sample_collage(seeded("train", index, COLLAGES), "train"),
}


def _read(file: Path) -> NDArray[np.float16]:
    """All features of a file; they come from the disk when they are asked for."""
    held: NDArray[np.float16] = np.load(file, mmap_mode="r")
    return held


class Batches:
    """Draws batches from whatever files of features there are."""

    def __init__(
        self, cache: Path, tokenizer: PreTrainedTokenizerFast, pictures: int, questions: int
    ) -> None:
        self.cache, self.tokenizer, self.pictures, self.questions = cache, tokenizer, pictures, questions
        self._files: dict[str, list[Path]] = {}
        self.look()

    def look(self) -> int:
        """Takes up files that were written since; returns how many there are.

        Raises:
            ApETError: If there are none.
        """
        found = {kind: sorted(self.cache.glob(f"{kind}-*.npy")) for kind in KINDS}
        self._files = {kind: files for kind, files in found.items() if files}
        if not self._files:
            raise ApETError("--cache", f"{self.cache} without files", "what training.eye.features wrote")
        return sum(len(files) for files in self._files.values())

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation of every channel, over the first file of every kind of picture."""
        rows = [_read(files[0])[::4].astype(np.float32) for files in self._files.values()]
        some = torch.from_numpy(np.concatenate(rows))
        return some.flatten(0, 1).mean(0), some.flatten(0, 1).std(0)

    def draw(self, rng: np.random.Generator, only: str | None = None) -> dict[str, Tensor]:
        """One batch, of one kind of pictures alone if named.

        Returns:
            ``features`` ``(B, 576, width)``; the fields of `lay_out`; what patches show (`SHOWN`, and
            ``thing``, an object's number), ``(B, 576)`` each, ``IGNORE`` where they show nothing; and
            ``index``, the pictures' numbers.
        """
        shares = np.asarray([KINDS[kind].share for kind in self._files])
        drawn = rng.choice(list(self._files), self.pictures, p=shares / shares.sum())
        kinds = [only] * self.pictures if only else drawn
        samples = [self._sample(rng, str(kind)) for kind in kinds]
        batch = {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}
        return batch | {"patches": torch.arange(GRID**2).expand(self.pictures, -1)}

    def _sample(self, rng: np.random.Generator, kind: str) -> dict[str, Tensor]:
        file = self._files[kind][int(rng.integers(len(self._files[kind])))]
        held = _read(file)
        row = int(rng.integers(len(held)))
        index = int(file.stem.rsplit("-", 1)[1]) + row
        sample = {"features": torch.from_numpy(held[row].astype(np.float32)), "index": torch.tensor(index)}
        sample |= lay_out(self.tokenizer, KINDS[kind].ask(rng, index, self.questions), self.questions)
        shown = patch_labels(_SCENES[kind](index)) if kind in _SCENES else None
        empty = torch.full((GRID**2,), IGNORE)
        sample |= {name: empty if shown is None else torch.from_numpy(getattr(shown, name)) for name in SHOWN}
        return sample | {"thing": torch.from_numpy(_things(_SCENES[kind](index))) if shown else empty}


def _things(scene: Scene) -> NDArray[np.int64]:
    """The number of the object that a patch shows the middle of, ``IGNORE`` for other patches."""
    labels = np.full((GRID, GRID), IGNORE, np.int64)
    for thing in scene.things if isinstance(scene, Collage) else ():
        reach = 0.6 * thing.radius
        rows, columns = (
            slice(int((at - reach) // PATCH), int((at + reach) // PATCH) + 1) for at in (thing.y, thing.x)
        )
        labels[rows, columns] = _NAMES.index(thing.name)
    return labels.ravel()
