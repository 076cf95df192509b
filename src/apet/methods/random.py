"""Random selection: the control that every other method has to beat."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

import torch
from torch import Tensor

from apet.core.basis import random_rows
from apet.core.blocks import read_tokens
from apet.core.budget import resolve_keep
from apet.core.check import check_seed, check_tokens
from apet.core.merge import nearest_kept
from apet.core.precision import plain_arithmetic
from apet.core.selection import Selection
from apet.methods.base import Method

__all__ = ["Random"]


@dataclass(frozen=True)
class Random(Method):
    """Tokens kept uniformly at random, whatever they hold.

    Merging is off by default, unlike in other methods: it would make the choice of tokens matter less, and
    a control for the choice should be nothing but that. With ``merge=True`` dropped tokens go to the kept
    token of highest cosine similarity, as in ApET.

    Attributes:
        seed: Seed of the draw. The draw depends on it and on the number of tokens alone, so all images of a
            size keep the same positions; vary the seed for a spread.
    """

    _: KW_ONLY
    merge: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks the fields.

        Raises:
            ApETError: If a field is not valid.
        """
        super().__post_init__()
        check_seed(self.seed, "Random")

    @torch.no_grad()
    def select(self, tokens: Tensor, keep: int) -> Selection:
        """Draws the kept tokens; errors are zeros and the basis is empty. See `Method.select`."""
        check_tokens(tokens, "Random", ndims=(3,))
        batch, total, _ = tokens.shape
        kept = resolve_keep(keep, total, "Random")
        indices = random_rows(batch, total, kept, self.seed, tokens.device).sort(dim=1).values
        with plain_arithmetic(tokens.device):
            assignment = nearest_kept(read_tokens(tokens, check_finite=True, operation="Random"), indices)
        return Selection(
            indices=indices,
            assignment=assignment,
            errors=torch.zeros((batch, total), dtype=torch.float32, device=tokens.device),
            basis=torch.empty((batch, 0), dtype=torch.int64, device=tokens.device),
        )
