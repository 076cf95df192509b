"""Segments of different length in one flat tensor, as the kernels see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Segments:
    """Where the segments (images, tiles or frames) are, and what is kept of each.

    Attributes:
        offsets: First row of every segment and the number of rows, ``(S + 1,)`` int64 on the device.
        kept: Kept tokens of every segment, ``(S,)`` int64 on the device.
        counts: Basis tokens of every segment, ``(S,)`` int64 on the device.
        lengths: Rows of every segment, on the host.
        keeps: Kept tokens of every segment, on the host.
        most: The largest of ``counts``.
    """

    offsets: Tensor
    kept: Tensor
    counts: Tensor
    lengths: Sequence[int]
    keeps: Sequence[int]
    most: int

    @property
    def number(self) -> int:
        """Segments, S."""
        return len(self.lengths)

    @classmethod
    def dense(cls, batch: int, total: int, kept: int, count: int, device: torch.device) -> Segments:
        """Segments of one length; made on the device, so that a CUDA graph can capture it."""
        offsets = torch.arange(0, (batch + 1) * total, total, dtype=torch.int64, device=device)
        both = torch.empty((2, batch), dtype=torch.int64, device=device)
        both[0].fill_(kept)
        both[1].fill_(count)
        return cls(offsets, both[0], both[1], [total] * batch, [kept] * batch, count)

    @classmethod
    def ragged(
        cls, lengths: Sequence[int], kept: Sequence[int], counts: Sequence[int], device: torch.device
    ) -> Segments:
        """Segments of any lengths. Their numbers go to the device in one copy that nothing waits for."""
        offsets = [0, *accumulate(lengths)]
        numbers = torch.tensor([*offsets, *kept, *counts], dtype=torch.int64, device="cpu")
        if device.type == "cuda":
            numbers = numbers.pin_memory()
        there = numbers.to(device, non_blocking=True).split([len(offsets), len(kept), len(counts)])
        first, second, third = there
        return cls(first, second, third, lengths, kept, max(counts))

    def owners(self) -> Tensor:
        """The segment of every row, ``(T,)`` int64."""
        numbers = torch.arange(self.number, device=self.offsets.device)
        return numbers.repeat_interleave(self.offsets.diff(), output_size=sum(self.lengths))
