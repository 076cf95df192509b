"""Uniform grid: the control for methods that spread what they keep over the picture."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from apet.core.blocks import Tokens, sent
from apet.methods.cells import cells, check_grid
from apet.methods.picker import Picked, Picker


@dataclass(frozen=True)
class Grid(Picker):
    """Tokens on a uniform grid, whatever they hold: the central one of each of K even cells.

    `apet.methods.cells` says how the cells lie. `Pool` averages them instead. Errors are zeros.

    Attributes:
        grid: Rows and columns of the tokens, where they are known. None: a square number of tokens is taken
            for a square, and any other number is spread evenly in raster order.
    """

    _: KW_ONLY
    grid: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_grid(self.grid, "Grid")

    def pick(self, tokens: Tokens, kept: int) -> Picked:
        """Takes the cells' centres."""
        batch, total, _ = tokens.data.shape
        _, centres = cells(total, kept, self.grid)
        return Picked(sent(centres, tokens.data.device).repeat(batch, 1))
