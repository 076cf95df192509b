"""VisPruner: what the encoder attends to, and of the rest what is least alike."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from apet.core.blocks import Tokens, product
from apet.core.errors import ApETError
from apet.methods.attended import Attended
from apet.methods.context import Attention
from apet.methods.picker import Picked

_ROUND = 8


@dataclass(frozen=True)
class VisPruner(Attended):
    """Important and diverse tokens (VisPruner, arXiv 2412.01818, section 4).

    The important tokens receive most attention in the encoder layer whose output the model uses, from the CLS
    token where there is one. Of the others duplicates go, at most eight a round: they are dealt in turn to
    two sets, each of the first set is scored by its most similar one in the second, by cosine, and those of
    highest score go. What is left of the first set stands before the second in the next round, most similar
    first. It prunes; ties go to who comes first.

    Attributes:
        important: Share of the kept tokens that are important, in (0, 1), rounded down.
    """

    _: KW_ONLY
    important: float = 0.5
    reads: ClassVar[Literal["vision", "text"]] = "vision"
    published: ClassVar[str] = "VisPruner, arXiv 2412.01818"
    departs: ClassVar[str] = "at='auto' and own positions as for DivPrune"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.important, float) or not 0 < self.important < 1:
            raise ApETError("VisPruner", f"important={self.important!r}", "a float between 0 and 1")

    def attend(self, tokens: Tokens, kept: int, attention: Attention) -> Picked:
        """Picks the important tokens, then drops duplicates among the others."""
        count = int(kept * self.important)
        ranked = attention.received.sort(dim=1, descending=True, stable=True).indices
        important, rest = ranked[:, :count], ranked[:, count:]
        unit = tokens.directions()
        while (remaining := rest.shape[1]) > kept - count:
            first, second = rest[:, 0::2], rest[:, 1::2]
            gone = min(_ROUND, remaining - (kept - count), first.shape[1])
            order = _likeness(unit, first, second).sort(dim=1, descending=True, stable=True).indices
            rest = torch.cat((first.gather(1, order[:, gone:]), second), dim=1)
        return Picked(torch.cat((important, rest), dim=1).sort(dim=1).values)


def _likeness(unit: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """The similarity of each of the first to its most similar one in the second, ``(B, F)``."""
    likeness = [
        product(unit_row[left][None], unit_row[right].mT[None])[0].amax(dim=-1)
        for unit_row, left, right in zip(unit, first, second, strict=True)
    ]
    return torch.stack(likeness)
