"""Sizes of tiles and grids.

A tile's size depends on the width of the tokens alone, never on how many there are: the order of a token's
sums, and so every bit of the result, is the same alone and in a batch.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from apet.core.dispatch import interpreted
from apet.kernels.segments import Segments


def options(warps: int) -> dict[str, Any]:
    """Options of a launch, said so that no default of Triton's changes a bit of the result."""
    return {"num_warps": warps, "enable_fp_fusion": True}


@dataclass(frozen=True)
class Tiles:
    """Rows and columns of a program's tile, then its warps.

    Attributes:
        stream: Row-wise passes over the tokens.
        residual: Errors: a whole row, if it fits.
        assign: Products with the kept tokens: rows, kept tokens, columns.
        mean: Rows that one program adds at a time, and columns.
        span: Columns of a basis token.
    """

    stream: tuple[int, int, int] = (8, 1024, 4)
    residual: tuple[int, int, int] = (4, 8192, 4)
    assign: tuple[int, int, int, int] = (64, 128, 64, 4)
    mean: tuple[int, int, int] = (8, 1024, 4)
    span: tuple[int, int] = (64, 1)

    def fit(self, width: int) -> Tiles:
        """Tiles for narrow tokens are no wider than these."""
        power = max(16, power_of_2(width))
        return Tiles(
            (self.stream[0], min(self.stream[1], power), self.stream[2]),
            (self.residual[0], wide := min(self.residual[1], power), max(self.residual[2], wide // 1024)),
            (*self.assign[:2], min(self.assign[2], power), self.assign[3]),
            (self.mean[0], min(self.mean[1], power), self.mean[2]),
            (min(self.span[0], power), self.span[1]),
        )


def power_of_2(number: int) -> int:
    """The next power of two."""
    return 1 << (number - 1).bit_length()


def grid(segments: Segments, rows: int) -> tuple[int, int]:
    """Programs of a launch over tiles of so many rows of every segment."""
    return -(-max(segments.lengths) // rows), segments.number


def dot_options(x: Tensor, warps: int) -> dict[str, Any]:
    """Options of products of tokens: exact products, summed in float32.

    Products of 16-bit floats are exact in float32. Triton's interpreter computes with the bits of bfloat16,
    so there they are widened first, which changes nothing. Tiles in flight have to fit the shared memory of
    small GPUs, 99 KB, so there are fewer of 32 bits.
    """
    stages = 2 if x.dtype == torch.float32 else 3
    widen = interpreted() and x.dtype == torch.bfloat16
    return options(warps) | {"WIDEN": widen, "num_stages": stages}


def on_device(x: Tensor) -> AbstractContextManager[object]:
    """Makes the GPU of a tensor the current one: that is where Triton launches, whatever it is given."""
    return torch.cuda.device(x.device) if x.device.type == "cuda" else nullcontext()


@cache
def processors(index: int) -> int:
    """Multiprocessors of a GPU."""
    return int(torch.cuda.get_device_properties(index).multi_processor_count)
