"""What a compressed KV cache must remember: which tokens its columns stand for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from apet.core.errors import ApETError
from apet.hf.packing import moved_by, numbers

__all__ = ["CacheRecord", "Lease", "check_lease"]


class Lease:
    """The right to use the caches of one installed compression; ended by ``remove``."""

    def __init__(self) -> None:
        self.active = True

    def __deepcopy__(self, memo: dict[int, Any]) -> Lease:
        return self  # a copied cache hangs on the same compression


@dataclass
class CacheRecord:
    """Two index maps over the tokens so far, up to the last compressed image's turn.

    Tokens behind ``prompt`` follow one by one in every layer. So a plain cache of any length is one with
    empty maps, and a further turn with images only makes the maps longer.

    Attributes:
        lease: The compression that filled the cache.
        prompt: Tokens that the maps speak of, ``L``.
        first: ``(B, n1)`` index map from the columns of the layers before stage 2 to tokens.
        second: ``(B, n2)`` index map from the columns of the layers from stage 2 on to those of ``first``;
            None if stage 2 dropped nothing.
        layer: First layer behind stage 2; without meaning if ``second`` is None.
        tail: How many of the last tokens of ``prompt`` may be cropped: behind the last dropped one, in every
            row.
        shift: ``(B, 1)``, how far contiguous numbering moved the following positions; None for own positions.
        memo: A mask of the step in progress and its translation, so that the layers share one copy.
    """

    lease: Lease
    prompt: int
    first: Tensor
    second: Tensor | None = None
    layer: int = 0
    tail: int = 0
    shift: Tensor | None = None
    memo: tuple[Any, Any] | None = None

    def __post_init__(self) -> None:
        """Looks once whether the maps have empty slots, which would stall a device in every step."""
        self.full_first = bool((self.first >= 0).all())
        self.full_second = self.full_first if self.second is None else bool((self.second >= 0).all())

    @classmethod
    def blank(cls, lease: Lease, rows: int, device: torch.device) -> CacheRecord:
        """The record of a cache in which nothing is compressed yet, whatever it holds."""
        return cls(lease, 0, torch.empty(rows, 0, dtype=torch.long, device=device))

    def dropped(self, layer_idx: int) -> int:
        """Tokens that a layer does not hold."""
        if self.second is not None and layer_idx >= self.layer:
            return self.prompt - self.second.shape[1]
        return self.prompt - self.first.shape[1]

    def lead(self, layer_idx: int) -> int:
        """Columns that the layers before stage 2 hold beyond those of a layer."""
        return self.dropped(layer_idx) - self.dropped(-1)

    def grown(self, seen: int, length: int, index: Tensor, second: Tensor | None, layer: int) -> CacheRecord:
        """The record after a turn with images, its tail and shift not yet set.

        Args:
            seen: Tokens before the turn.
            length: Tokens of the turn.
            index: ``(B, m1)`` index map from the turn's columns to its tokens.
            second: ``(B, m2)`` index map from its columns behind stage 2 to those before; None if stage 2
                dropped nothing of it.
            layer: First layer behind stage 2.
        """
        gap = seen - self.prompt
        columns = self.first.shape[1] + gap
        first = torch.cat([self.first, numbers(index, self.prompt, seen), moved_by(index, seen)], dim=1)
        if self.second is None and second is None:
            return CacheRecord(self.lease, seen + length, first)
        old = _filled(self.first) if self.second is None else self.second
        new = _filled(index) if second is None else second
        behind = torch.cat([old, numbers(new, columns - gap, columns), moved_by(new, columns)], dim=1)
        return CacheRecord(self.lease, seen + length, first, behind, layer)

    def move_rows(self, move: Callable[[Tensor], Tensor]) -> None:
        """Apply a change of the batch dimension to every table."""
        self.first = move(self.first)
        self.second = None if self.second is None else move(self.second)
        self.shift = None if self.shift is None else move(self.shift)

    def shorten(self, tokens: int) -> None:
        """Forget the prompt's last tokens."""
        self.prompt -= tokens
        self.tail -= tokens
        self.first = self.first[:, : self.first.shape[1] - tokens]
        self.second = None if self.second is None else self.second[:, : self.second.shape[1] - tokens]


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
