"""Where ApET's basis vectors go, in the ways of the authors' code for each model."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from apet.core.blocks import read_tokens
from apet.core.merge import nearest_kept
from apet.core.selection import Selection

Slots = Literal["own", "overwrite", "blend", "append"]
SlotOrder = Literal["place", "rank"]


def in_slots(tokens: Tensor, chosen: Selection, slots: Slots, order: SlotOrder) -> Selection:
    """A decision of ApET with its basis vectors elsewhere; see `apet.methods.ApET`.

    Args:
        tokens: Visual tokens ``(B, N, d)``.
        chosen: The decision with the basis tokens at their own places, and other tokens beside them.
        slots: Where they go instead; not ``"own"``.
        order: In which order the lowest ranked tokens get them.

    Returns:
        The decision, with its merge weights.
    """
    kept, size, total = chosen.indices.shape[1], chosen.basis.shape[1], chosen.assignment.shape[1]
    ranked = chosen.errors.scatter(1, chosen.basis, -torch.inf) if slots == "append" else chosen.errors
    ranked = ranked.sort(dim=1, descending=True, stable=True).indices
    targets, last = ranked[:, : kept - size].sort(dim=1).values, ranked[:, kept - size : kept]
    if slots == "append":
        last = chosen.basis
    elif order == "place":
        last = last.sort(dim=1).values
    indices = torch.cat((targets, last), dim=1).sort(dim=1).values
    numbers = torch.arange(kept, device=indices.device).expand_as(indices)
    slot_of = torch.zeros_like(chosen.assignment).scatter(1, indices, numbers)
    read = read_tokens(tokens, check_finite=False, operation="compress")
    goes = slot_of.gather(1, targets.gather(1, nearest_kept(read, targets)))
    assignment = goes.scatter(1, indices, numbers)
    # What merges: everything but the lowest ranked, whose own content is lost, or appended basis tokens too.
    members = torch.nn.functional.one_hot(goes, kept).mT.to(torch.float32)
    if slots != "append":
        members = members.masked_fill(_flags(last, total).unsqueeze(1), 0.0)
    mix = members / members.sum(dim=2, keepdim=True).clamp(min=1.0)
    rows = slot_of.gather(1, last).unsqueeze(2).expand(-1, -1, total)
    vectors = torch.zeros_like(rows, dtype=torch.float32).scatter(2, chosen.basis.unsqueeze(2), 1.0)
    if slots == "blend":
        vectors = (vectors + torch.zeros_like(vectors).scatter(2, last.unsqueeze(2), 1.0)) / 2
    mix = mix.scatter(1, rows, vectors)
    return replace(chosen, indices=indices, assignment=assignment, mix=mix)


def _flags(indices: Tensor, total: int) -> Tensor:
    """``(B, N)`` bool, which tokens are among ``indices``."""
    blank = torch.zeros((len(indices), total), dtype=torch.bool, device=indices.device)
    return blank.scatter(1, indices, True)
