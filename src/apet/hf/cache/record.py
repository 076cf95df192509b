"""What a compressed KV cache must remember: which tokens its columns stand for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from apet.core.errors import ApETError
from apet.hf.cache.index_map import moved_by, numbers

__all__ = ["Behind", "CacheRecord", "Lease", "check_lease"]


class Lease:
    """The right to use the caches of one installed compression; ended by ``remove``."""

    def __init__(self) -> None:
        self.active = True

    def __deepcopy__(self, memo: dict[int, Any]) -> Lease:
        return self  # a copied cache hangs on the same compression


@dataclass(frozen=True)
class Behind:
    """What the layers behind a stage inside the text model hold, up to the next such stage.

    Attributes:
        layer: The first of them.
        index: ``(B, n)`` index map from their columns to those of the layers before any such stage.
        full: Whether it has no empty slot; looked at once, since that would stall a device in every step.
    """

    layer: int
    index: Tensor
    full: bool

    @classmethod
    def of(cls, layer: int, index: Tensor) -> Behind:
        """With a look at the map."""
        return cls(layer, index, bool((index >= 0).all()))


@dataclass
class CacheRecord:
    """Index maps over the tokens so far, up to the last compressed image's turn.

    Tokens behind ``prompt`` follow one by one in every layer. So a plain cache of any length is one with
    empty maps, and a further turn with images only makes the maps longer.

    Attributes:
        lease: The compression that filled the cache.
        prompt: Tokens that the maps speak of, ``L``.
        first: ``(B, n1)`` index map from the columns of the layers before stage 2 to tokens.
        later: The stages inside the text model that dropped something, by layer.
        tail: How many of the last tokens of ``prompt`` may be cropped: behind the last dropped one, in every
            row.
        shift: ``(B, 1)``, how far contiguous numbering moved the following positions; None for own positions.
        memo: By stage, a mask of the step in progress and its translation, so that layers share one copy.
    """

    lease: Lease
    prompt: int
    first: Tensor
    later: tuple[Behind, ...] = ()
    tail: int = 0
    shift: Tensor | None = None
    memo: dict[int, tuple[Any, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Looks once whether the first map has empty slots."""
        self.full_first = bool((self.first >= 0).all())

    @classmethod
    def blank(cls, lease: Lease, rows: int, device: torch.device) -> CacheRecord:
        """The record of a cache in which nothing is compressed yet, whatever it holds."""
        return cls(lease, 0, torch.empty(rows, 0, dtype=torch.long, device=device))

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

    def lead(self, layer_idx: int) -> int:
        """Columns that the layers before stage 2 hold beyond those of a layer."""
        return self.dropped(layer_idx) - self.dropped(-1)

    def grown(self, seen: int, length: int, index: Tensor, later: Sequence[Behind]) -> CacheRecord:
        """The record after a turn with images, its tail and shift not yet set.

        Args:
            seen: Tokens before the turn.
            length: Tokens of the turn.
            index: ``(B, m1)`` index map from the turn's columns to its tokens.
            later: The stages that dropped something of it, with maps to its columns.
        """
        gap = seen - self.prompt
        columns = self.first.shape[1] + gap
        first = torch.cat([self.first, numbers(index, self.prompt, seen), moved_by(index, seen)], dim=1)
        turn = CacheRecord(self.lease, length, index, tuple(later))
        stages = []
        for layer in sorted({stage.layer for stage in (*self.later, *later)}):
            old, new = (
                _filled(record.first) if (stage := record.behind(layer)) is None else stage.index
                for record in (self, turn)
            )
            both = torch.cat([old, numbers(new, columns - gap, columns), moved_by(new, columns)], dim=1)
            stages.append(Behind.of(layer, both))
        return CacheRecord(self.lease, seen + length, first, tuple(stages))

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


def check_lease(record: CacheRecord | None, lease: Lease) -> None:
    """Refuse a cache that another compression filled.

    Raises:
        ApETError: If it did.
    """
    if record is not None and record.lease is not lease:
        raise ApETError(
            "forward",
            "a KV cache that was filled under another compression",
            "a new cache, or the compression that filled this one",
        )


def _filled(index: Tensor) -> Tensor:
    """The map of every slot to itself, empty where the slot is."""
    return numbers(index, 0, index.shape[1]).masked_fill(index < 0, -1)
