"""Sizes of tiles and grids.

A tile's size depends on the width of the tokens alone, never on how many there are: the order of a token's
sums, and so every bit of the result, is the same alone and in a batch.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import triton
from torch import Tensor

from apet.core.dispatch import interpreted
from apet.kernels.segments import Segments

__all__ = ["OPTIONS", "Tiles", "dot_options", "grid", "on_device"]

OPTIONS: dict[str, Any] = {"num_warps": 4, "enable_fp_fusion": True}
"""Options of every launch, said so that no default of Triton's changes a bit of the result."""


@dataclass(frozen=True)
class Tiles:
    """Rows and columns of a program's tile.

    Attributes:
        stream: Row-wise passes over the tokens.
        residual: Products with the basis.
        assign: Products with the kept tokens: rows, kept tokens, columns.
        mean: Rows that one program adds at a time, and columns.
        rank: Tokens, and tokens they are compared with at a time.
        span: Columns of a basis token.
    """

    stream: tuple[int, int] = (8, 512)
    residual: tuple[int, int] = (32, 64)
    assign: tuple[int, int, int] = (64, 64, 64)
    mean: tuple[int, int] = (32, 128)
    rank: tuple[int, int] = (64, 128)
    span: int = 128

    def fit(self, width: int) -> Tiles:
        """Tiles for narrow tokens are no wider than these."""
        power = triton.next_power_of_2(width)
        across = max(16, power)
        return Tiles(
            (self.stream[0], min(self.stream[1], power)),
            (self.residual[0], min(self.residual[1], across)),
            (*self.assign[:2], min(self.assign[2], across)),
            (self.mean[0], min(self.mean[1], power)),
            self.rank,
            min(self.span, power),
        )


def grid(segments: Segments, rows: int) -> tuple[int, int]:
    """Programs of a launch over tiles of so many rows of every segment."""
    return triton.cdiv(segments.longest, rows), segments.number


def dot_options(x: Tensor) -> dict[str, Any]:
    """Options of products of tokens: exact products, summed in float32.

    Products of 16-bit floats are exact in float32. Triton's interpreter computes with the bits of bfloat16,
    so there they are widened first, which changes nothing. Tiles in flight have to fit the shared memory of
    small GPUs, 99 KB, so there are fewer of 32 bits.
    """
    stages = 2 if x.dtype == torch.float32 else 3
    return {"WIDEN": interpreted() and x.dtype == torch.bfloat16, "num_stages": stages}


def on_device(x: Tensor) -> AbstractContextManager[object]:
    """Makes the GPU of a tensor the current one: that is where Triton launches, whatever it is given."""
    return torch.cuda.device(x.device) if x.device.type == "cuda" else nullcontext()
