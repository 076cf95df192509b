"""Segments of different length in one flat tensor, as the kernels see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

__all__ = ["Segments"]


@dataclass(frozen=True, eq=False)
class Segments:
    """Where the segments (images, tiles or frames) are, and what is kept of each.

    Attributes:
        offsets: First row of every segment and the number of rows, ``(S + 1,)`` int64 on the device.
        kept_offsets: The same for the kept tokens.
        counts: Basis tokens of every segment, ``(S,)`` int32 on the device.
        rows: Rows of all segments.
        kept: Kept tokens of all segments.
        longest: Rows of the longest segment; a launch covers that many of each.
        most: The largest of ``counts``.
    """

    offsets: Tensor
    kept_offsets: Tensor
    counts: Tensor
    rows: int
    kept: int
    longest: int
    most: int

    @property
    def number(self) -> int:
        """Segments, S."""
        return int(self.counts.shape[0])

    @classmethod
    def dense(cls, batch: int, total: int, kept: int, count: int, device: torch.device) -> Segments:
        """Segments of one length; made on the device, so that a CUDA graph can capture it."""
        steps = torch.arange(batch + 1, dtype=torch.int64, device=device)
        counts = torch.full((batch,), count, dtype=torch.int32, device=device)
        return cls(steps * total, steps * kept, counts, batch * total, batch * kept, total, count)

    @classmethod
    def ragged(
        cls, lengths: Sequence[int], kept: Sequence[int], counts: Sequence[int], device: torch.device
    ) -> Segments:
        """Segments of any lengths. Their numbers go to the device in one copy that nothing waits for."""
        offsets = [0, *accumulate(lengths)]
        kept_offsets = [0, *accumulate(kept)]
        numbers = torch.tensor([*offsets, *kept_offsets, *counts], dtype=torch.int64, device="cpu")
        if device.type == "cuda":
            numbers = numbers.pin_memory()
        first, second, third = numbers.to(device, non_blocking=True).split(
            [len(offsets), len(kept_offsets), len(counts)]
        )
        return cls(
            first,
            second,
            third.to(torch.int32),
            offsets[-1],
            kept_offsets[-1],
            max(lengths),
            max(counts),
        )
