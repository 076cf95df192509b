"""Unlike: keep a few pivots and what duplicates them least."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import torch
from torch import Tensor

from apet.core.blocks import PRODUCT, Tokens, product
from apet.core.check import check_int
from apet.methods.picker import Picked, Picker


@dataclass(frozen=True)
class Unlike(Picker):
    """Pivots and what is least like them, on the visual tokens alone.

    The idea is DART's (arXiv 2502.11494) without a language model; `apet.methods.DART` is as published, and
    the two share less than half of what they keep. The pivots are the tokens of largest norm. Then each pivot
    in turn, largest first, takes its share of the remaining budget: the tokens not taken yet whose cosine
    similarity to it is lowest. Shares differ by one at most, the earlier pivots having the larger ones. Ties
    go to the lowest index.

    It prunes. The score of a token is one
    minus its highest similarity to a pivot, and the basis are the pivots.

    Attributes:
        pivots: Pivots; cut to K where K is smaller.
    """

    _: KW_ONLY
    pivots: int = 4
    published: ClassVar[str] = "after DART, arXiv 2502.11494"
    departs: ClassVar[str] = (
        "tokens and their norms in place of decoder states and keys, and no text: see dart"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self._plain("pivots", check_int)

    def pick(self, tokens: Tokens, kept: int) -> Picked:
        """Picks the pivots and their least similar tokens."""
        count = min(self.pivots, kept)
        pivots = tokens.norms.sort(dim=1, descending=True, stable=True).indices[:, :count]
        similar = _similarity(tokens, pivots)
        taken = torch.zeros_like(tokens.norms, dtype=torch.bool).scatter_(1, pivots, True)
        rest, chosen = kept - count, [pivots]
        for number in range(count):
            share = rest // count + (number < rest % count)
            ranked = similar[..., number].masked_fill(taken, torch.inf).sort(dim=1, stable=True).indices
            chosen.append(ranked[:, :share])
            taken.scatter_(1, chosen[-1], True)
        indices = torch.cat(chosen, dim=1).sort(dim=1).values
        return Picked(indices, scores=1 - similar.amax(dim=-1), basis=pivots)


def _similarity(tokens: Tokens, indices: Tensor) -> Tensor:
    """Cosine similarity ``(B, N, P)`` of all tokens to some of them; 0 to or of a token of zero norm."""
    length = torch.where(tokens.norms > 0, tokens.norms, torch.inf)
    unit_others = tokens.rows(indices) / length.gather(1, indices).unsqueeze(2)
    similar = tokens.norms.new_empty((*tokens.norms.shape, indices.shape[1]))
    for images, rows in tokens.blocks(PRODUCT):
        similar[images, rows] = product(tokens.block(images, rows), unit_others[images].mT)
    return similar / length.unsqueeze(2)
