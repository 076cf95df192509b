"""DivPrune: keep the tokens that are most unlike each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from apet.core.basis import farthest_points
from apet.core.blocks import Tokens
from apet.core.dpc import squared_distances
from apet.methods.picker import Picked, Picker


@dataclass(frozen=True)
class DivPrune(Picker):
    """Max-min diversity on cosine distance (DivPrune, arXiv 2503.02175, sections 3.2 and 3.3).

    The first token is the one whose nearest other token is farthest away; each next one is the token that is
    farthest from its nearest picked one. On tokens scaled to unit length that is farthest point sampling,
    since Euclidean distance grows with cosine distance there. Ties go to the lowest index. A token of zero
    norm stays zero, nearer to all others than orthogonal ones are. It prunes, as published; errors are zeros.

    The choice of the first token compares every pair: time grows with N squared, memory does not.
    """

    published: ClassVar[str] = "DivPrune, arXiv 2503.02175"
    departs: ClassVar[str] = (
        "at='auto' decides before a projector that maps tokens one to one, and kept tokens have their own "
        "positions; the authors' code decides behind it and counts positions anew"
    )

    def pick(self, tokens: Tokens, kept: int) -> Picked:
        """Picks ``kept`` tokens."""
        total = tokens.data.shape[1]
        unit = tokens.directions()
        directions = Tokens(unit, None, (tokens.norms > 0).to(torch.float32))
        nearest = torch.zeros_like(tokens.norms)
        order = torch.arange(total, device=unit.device)
        for images, rows, squared in squared_distances(directions):
            nearest[images, rows] = squared.masked_fill_(order[rows, None] == order, torch.inf).amin(dim=-1)
        picked = farthest_points(directions, kept, nearest.argmax(dim=1))
        return Picked(picked.sort(dim=1).values)
