"""A method for apet: keep the middle of the picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from apet.core.blocks import Tokens
from apet.methods import Context, Informed, Picked

__all__ = ["Center"]


@dataclass(frozen=True)
class Center(Informed):
    """Keeps the tokens nearest to the middle of their grid; equal ones by lowest index."""

    needs: ClassVar[frozenset[str]] = frozenset({"places"})

    def pick(self, tokens: Tokens, kept: int, context: Context) -> Picked:
        """Ranks the tokens by how far from the middle they lie."""
        places = context.places
        assert places is not None  # asked for in `needs`
        sizes = torch.tensor(places.extents, dtype=torch.float32, device=places.index.device)
        middle = (sizes - 1) / 2
        far = (places.index[..., 1:] - middle[places.index[..., 0]]).square().sum(dim=-1)
        nearest = far.sort(dim=1, stable=True).indices[:, :kept]
        return Picked(nearest.sort(dim=1).values, scores=far)
