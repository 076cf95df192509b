"""Ask the method for a decision on every image, in as few calls as their lengths allow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from apet.core import Selection
from apet.hf.clock import Clock
from apet.hf.results import StageSelection
from apet.methods import Attended, Attention, Method

__all__ = ["Decided", "decide"]


@dataclass(frozen=True)
class Decided:
    """A group of segments of one length that were decided together.

    Attributes:
        members: Positions of the group's segments in the sequence that was passed in.
        selection: The method's selection, with a leading dimension over ``members``.
        clock: The time it took.
    """

    members: tuple[int, ...]
    selection: Selection
    clock: Clock

    def stage(self, slot: int, candidates: Tensor, tokens: Tensor) -> StageSelection:
        """The part of one member, counted in the image's original tokens.

        Args:
            slot: Which member of the group.
            candidates: ``(C,)`` the original numbers of the tokens that were passed to the method.
            tokens: ``(K, d)`` what became of them.
        """
        return StageSelection(
            indices=candidates[self.selection.indices[slot]],
            candidates=candidates,
            assignment=self.selection.assignment[slot],
            errors=self.selection.errors[slot],
            basis=candidates[self.selection.basis[slot]],
            tokens=tokens.detach(),
            clock=self.clock,
            share=len(self.members),
        )


def decide(
    method: Method,
    segments: Sequence[Tensor],
    keeps: Sequence[int],
    attention: Sequence[Attention] | None = None,
) -> list[Decided]:
    """Decide which tokens of every segment stay.

    Args:
        method: The method.
        segments: One ``(C_i, d)`` tensor per image.
        keeps: How many tokens each image keeps. Segments that keep all they have are left out of the answer.
        attention: What attention says about each segment, for a method that decides by it.

    Returns:
        One entry per group of equal length and budget.

    Raises:
        ApETError: If the method refuses the tokens (NaN, infinite) or the budget.
    """
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for number, (segment, keep) in enumerate(zip(segments, keeps, strict=True)):
        if keep < segment.shape[0]:
            groups[segment.shape[0], keep].append(number)
    decided = []
    for (_, keep), members in groups.items():
        tokens = torch.stack([segments[number] for number in members]).detach()
        with torch.no_grad(), Clock(tokens.device) as clock:
            if isinstance(method, Attended):
                selection = method.select(tokens, keep, _stacked(attention, members))
            else:
                selection = method.select(tokens, keep)
        decided.append(Decided(tuple(members), selection, clock))
    return decided


def _stacked(attention: Sequence[Attention] | None, members: Sequence[int]) -> Attention | None:
    """The attention of some segments of one length, as a batch."""
    if attention is None:
        return None
    own = [attention[number] for number in members]
    keys = [one.keys for one in own if one.keys is not None]
    return Attention(torch.stack([one.received for one in own]), torch.stack(keys) if keys else None)
