"""Random selection: the control that every other method has to beat."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from apet.core.basis import random_rows
from apet.core.blocks import Tokens
from apet.core.check import SEEDS, check_int
from apet.methods.picker import Picked, Picker


@dataclass(frozen=True)
class Random(Picker):
    """Tokens kept uniformly at random, whatever they hold.

    Merging is off by default, unlike in ApET: it would make the choice of tokens matter less, and a control
    for the choice should be nothing but that. Errors are zeros.

    Attributes:
        seed: Seed of the draw. The draw depends on it and on the number of tokens alone, so all images of a
            size keep the same positions; vary the seed for a spread.

    Examples:
        >>> import apet, torch
        >>> draw = apet.Random(keep=4, seed=1)
        >>> first, second = (draw.select(torch.randn(1, 40, 8), 4).indices for _ in range(2))
        >>> torch.equal(first, second)  # whatever the tokens hold
        True
    """

    _: KW_ONLY
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._plain("seed", check_int, 0, SEEDS)

    def pick(self, tokens: Tokens, kept: int) -> Picked:
        """Draws the kept tokens."""
        batch, total, _ = tokens.data.shape
        drawn = random_rows(batch, total, kept, self.seed, tokens.data.device)
        return Picked(drawn.sort(dim=1).values)
