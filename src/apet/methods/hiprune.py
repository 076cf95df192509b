"""HiPrune: tokens that a middle layer of the encoder attends to, their neighbours, and a deep layer's."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, Literal

import torch

from apet.core.blocks import Tokens, sent
from apet.core.check import check_int_or_none
from apet.core.errors import ApETError
from apet.core.merge import top_rows
from apet.methods.attended import Asking, Attended
from apet.methods.context import Attention, Context
from apet.methods.picker import Picked

_PAPER = 9 / 24


@dataclass(frozen=True)
class HiPrune(Attended):
    """Anchors, buffers and registers (HiPrune, arXiv 2508.00553, section 4).

    The anchors receive most attention in a middle layer of the encoder, where it goes to objects; their four
    neighbours are the buffers. What is left of the budget are registers: those that receive most in the layer
    whose output the model uses. Attention is the mean over all heads and all tokens, CLS included. It prunes;
    ties go to the lowest index.

    As in the authors' code, neighbours are those before and behind in the order of the tokens, also across
    the ends of rows, and one row up and down; beyond the picture the first or last token stands in.

    Attributes:
        share: Share of the kept tokens that are anchors and buffers, in (0, 1]; rounded to whole groups of
            five where they do not overlap.
        layer: Number of the middle layer, from 1; None for the paper's 9 of 24 in an encoder of any depth.
    """

    _: KW_ONLY
    share: float = 0.1
    layer: int | None = None
    needs: ClassVar[frozenset[str]] = frozenset({"attention", "places"})
    reads: ClassVar[Literal["vision", "text"]] = "vision"
    asking: ClassVar[Asking] = "all"
    published: ClassVar[str] = "HiPrune, arXiv 2508.00553"
    departs: ClassVar[str] = (
        "at small budgets no more anchors than a fifth of it, so that it is never exceeded"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.share, float) or not 0 < self.share <= 1:
            raise ApETError("HiPrune", f"share={self.share!r}", "a float above 0, at most 1")
        self._plain("layer", check_int_or_none)

    def middle(self, layers: int) -> int:
        """The middle layer, from 0."""
        number = max(round(layers * _PAPER), 1) if self.layer is None else self.layer
        if number > layers:
            raise ApETError(
                "HiPrune", f"layer={number} of an encoder of {layers} layers", f"at most {layers}"
            )
        return number - 1

    def pick(self, tokens: Tokens, kept: int, context: Context) -> Picked:
        """Picks anchors and buffers, then registers."""
        assert context.places is not None  # asked for in `needs`
        assert context.attention is not None
        if len(context.places.extents) > 1:
            raise ApETError("HiPrune", f"{len(context.places.extents)} grids as one", "unit='part'")
        middle = context.attention.middle
        if middle is None:
            raise ApETError("HiPrune", "no attention of a middle layer", "Attention(.., middle=..)")
        deep = context.attention.received.to(torch.float32)
        columns, total = context.places.extents[0][1], deep.shape[1]
        count = min(round(kept * self.share / 5), kept // 5)
        if count == 0:
            return Picked(top_rows(deep, kept), scores=deep)
        anchors = top_rows(middle.to(torch.float32), count)
        steps = sent(torch.tensor([0, -1, 1, -columns, columns], device="cpu"), deep.device)
        near = (anchors.unsqueeze(2) + steps).clamp(0, total - 1).flatten(1)
        return Picked(top_rows(deep, kept, always=near), scores=deep, basis=anchors)

    def attend(self, tokens: Tokens, kept: int, attention: Attention) -> Picked:
        """Needs the places, too: see `pick`."""
        raise NotImplementedError
