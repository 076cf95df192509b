"""Downsampling: the control that gives a smaller picture in place of fewer tokens of a large one."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from fractions import Fraction
from typing import ClassVar

from torch import Tensor

from apet.core.budget import check_keep, fit_keep
from apet.core.errors import ApETError
from apet.core.selection import Selection
from apet.methods.base import Method


@dataclass(frozen=True)
class Downsample(Method):
    """The picture made smaller, so that the vision encoder itself gives about K tokens.

    On general benchmarks this beats many published methods, and on charts and documents it loses (arXiv
    2510.07143). Nothing is selected: the encoder works on the small picture, as `grid` says, and its tokens
    have the positions that they would have had if the picture had come so small. In results, ``indices`` name
    the places of the prompt that they take, which are no tokens of the large picture; errors are zeros.

    It acts under ``apet.apply`` alone, on images, in families whose encoder takes another size.

    Attributes:
        keep: Most visual tokens of each image.
    """

    _: KW_ONLY
    merge: bool = False
    replaces: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_keep(self.keep, "Downsample")  # no callable
        if self.stage2 is not None:
            raise ApETError("Downsample", f"stage2={self.stage2!r}", "None: it selects no tokens")

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of tokens in place of ``height`` and ``width``.

        The grid of most tokens within the budget among those that keep the picture's shape but for rounding,
        either side up or down; of equal ones that of the most similar shape, then that of fewest rows. A
        budget above what there are leaves the picture as it is.
        """
        kept = fit_keep(check_keep(self.keep), height * width, "Downsample")
        scale = math.sqrt(kept / (height * width))
        if width * scale < 1:
            return min(height, kept), 1
        grids = []
        for rows in {max(1, math.floor(height * scale)), min(height, math.ceil(height * scale))}:
            columns = min(math.ceil(width * scale), width, kept // rows)
            if columns:
                ratio = Fraction(rows * width, columns * height)
                grids.append((-rows * columns, max(ratio, 1 / ratio), rows, columns))
        return min(grids)[2:]

    def select(self, tokens: Tensor, keep: int) -> Selection:
        """Refuses: there is no picture to make smaller.

        Raises:
            ApETError: Always.
        """
        raise ApETError(
            "Downsample", "visual tokens to select from", "a model under apet.apply: it acts on the picture"
        )
