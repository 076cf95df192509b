"""What a compressed KV cache must remember: which tokens its columns stand for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from apet.core.errors import ApETError
from apet.hf.cache.index_map import counting, moved_by
from apet.methods import Method


class Lease:
    """The right to use the caches of one installed compression; ended by ``remove``.

    Args:
        method: What is applied.
        model_type: To what type of model.
    """

    def __init__(self, method: Method, model_type: str) -> None:
        self.method = method
        self.model_type = model_type
        self.active = True

    def __deepcopy__(self, memo: dict[int, Any]) -> Lease:
        return self  # a copied cache hangs on the same compression

    def __reduce__(self) -> tuple[Any, ...]:
        # What is loaded again belongs to no model yet: `claim` gives it to one.
        return _ended, (self.method, self.model_type)

    def like(self, other: Lease) -> bool:
        """Whether caches of one are right under the other."""
        return (self.method, self.model_type) == (other.method, other.model_type)


def _ended(method: Method, model_type: str) -> Lease:
    lease = Lease(method, model_type)
    lease.active = False
    return lease


@dataclass(frozen=True)
class Behind:
    """What the layers behind a stage inside the text model hold, up to the next such stage.

    Attributes:
        layer: The first of them.
        index: ``(B, n)`` index map from their columns to those of the layers before any such stage.
        full: Whether it has no empty slot.
    """

    layer: int
    index: Tensor
    full: bool


@dataclass
class CacheRecord:
    """Index maps over the tokens so far, up to the last compressed image's turn.

    Tokens behind ``prompt`` follow one by one in every layer. So a plain cache of any length is one with
    empty maps, and a further turn with images only makes the maps longer.

    Attributes:
        lease: The compression that filled the cache.
        prompt: Tokens that the maps speak of, ``L``.
        first: ``(B, n1)`` index map from the columns of the layers before stage 2 to tokens.
        first_full: Whether it has no empty slot.
        later: The stages inside the text model that dropped something, by layer.
        tail: How many of the last tokens of ``prompt`` may be cropped: behind the last segment that lost
            some, in every row.
        shift: ``(B, 1)``, how far contiguous numbering moved the following positions; None for own positions.
        memo: By stage, a mask of the step in progress and its translation, so that layers share one copy.
    """

    lease: Lease
    prompt: int
    first: Tensor
    first_full: bool
    later: tuple[Behind, ...] = ()
    tail: int = 0
    shift: Tensor | None = None
    memo: dict[int, tuple[Any, Any]] = field(default_factory=dict, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        """What is saved; not the masks of a step."""
        return {**vars(self), "memo": {}}

    @classmethod
    def blank(cls, lease: Lease, rows: int, device: torch.device) -> CacheRecord:
        """The record of a cache in which nothing is compressed yet, whatever it holds."""
        return cls(lease, 0, torch.empty(rows, 0, dtype=torch.long, device=device), first_full=True)

    def behind(self, layer_idx: int) -> Behind | None:
        """The stage that a layer lies behind, the last one; None before all of them."""
        for stage in reversed(self.later):  # a plain loop: every layer asks in every step
            if stage.layer <= layer_idx:
                return stage
        return None

    def dropped(self, layer_idx: int) -> int:
        """Tokens that a layer does not hold."""
        stage = self.behind(layer_idx)
        return self.prompt - (self.first if stage is None else stage.index).shape[1]

    @property
    def dropped_before(self) -> int:
        """Tokens that the layers before stage 2 do not hold."""
        return self.prompt - self.first.shape[1]

    def lead(self, layer_idx: int) -> int:
        """Columns that the layers before stage 2 hold beyond those of a layer."""
        return self.dropped(layer_idx) - self.dropped_before

    def grown(self, seen: int, turn: CacheRecord) -> CacheRecord:
        """The record after a turn with images, its shift not yet set.

        Args:
            seen: Tokens before the turn.
            turn: The record of the turn by itself: maps to its own tokens and columns.
        """
        gap = seen - self.prompt
        columns = self.first.shape[1] + gap
        between = counting(turn.first, self.prompt, seen)
        first = torch.cat([self.first, between, moved_by(turn.first, seen)], dim=1)
        stages = []
        for layer in sorted({stage.layer for stage in (*self.later, *turn.later)}):
            old, new = (
                Behind(layer, _filled(record.first), record.first_full)
                if (stage := record.behind(layer)) is None
                else stage
                for record in (self, turn)
            )
            between = counting(new.index, columns - gap, columns)
            both = torch.cat([old.index, between, moved_by(new.index, columns)], dim=1)
            stages.append(Behind(layer, both, old.full and new.full))
        full = self.first_full and turn.first_full
        return CacheRecord(self.lease, seen + turn.prompt, first, full, tuple(stages), turn.tail)

    def move_rows(self, move: Callable[[Tensor], Tensor]) -> None:
        """Apply a change of the batch dimension to every table."""
        self.first = move(self.first)
        self.later = tuple(replace(stage, index=move(stage.index)) for stage in self.later)
        self.shift = None if self.shift is None else move(self.shift)

    def shorten(self, tokens: int) -> None:
        """Forget the prompt's last tokens."""
        self.prompt -= tokens
        self.tail -= tokens
        self.first = self.first[:, : self.first.shape[1] - tokens]
        self.later = tuple(
            replace(stage, index=stage.index[:, : stage.index.shape[1] - tokens]) for stage in self.later
        )


def claim(record: CacheRecord | None, lease: Lease) -> None:
    """Take a cache into use under a compression.

    A cache that was saved, or filled before an equal method was applied anew, is this one's from now on.

    Raises:
        ApETError: If another compression filled the cache.
    """
    if record is None or record.lease is lease:
        return
    if record.lease.active or not record.lease.like(lease):
        raise ApETError(
            "forward",
            "a KV cache that was filled under another compression",
            "a new cache, or the compression that filled this one",
        )
    record.lease = lease


def _filled(index: Tensor) -> Tensor:
    """The map of every slot to itself, empty where the slot is."""
    return counting(index, 0, index.shape[1]).masked_fill(index < 0, -1)
