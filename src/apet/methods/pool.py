"""Average pooling: the control for methods that merge."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from apet.core.blocks import Tokens, sent
from apet.methods.cells import cells, check_grid
from apet.methods.picker import Picked, Picker


@dataclass(frozen=True)
class Pool(Picker):
    """The mean of each of K even cells, at the place of the cell's central token.

    `apet.methods.cells` says how the cells lie. With ``merge=False`` it is `Grid`. Errors are zeros.

    Attributes:
        grid: As in `Grid`.
    """

    _: KW_ONLY
    merge: bool = True
    grid: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_grid(self.grid, "Pool")

    def pick(self, tokens: Tokens, kept: int) -> Picked:
        """Assigns every token to its cell."""
        batch, total, _ = tokens.data.shape
        cell, centres = (sent(x, tokens.data.device).repeat(batch, 1) for x in cells(total, kept, self.grid))
        return Picked(centres, assignment=cell)
