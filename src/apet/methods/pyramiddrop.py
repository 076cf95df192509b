"""PyramidDrop: drop visual tokens at several depths of the language model."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from typing import ClassVar, Literal, Self

from apet.core.blocks import Tokens
from apet.core.budget import check_keep, fit_keep
from apet.core.check import check_layers
from apet.core.merge import top_rows
from apet.methods.attended import Asking, Attended
from apet.methods.context import Attention
from apet.methods.picker import Picked
from apet.methods.stage2 import Stage2

PAPER = (8, 16, 24)
"""Depths of the paper, for 32 layers."""


@dataclass(frozen=True)
class PyramidDrop(Attended):
    """Pruning at several depths (PyramidDrop, arXiv 2410.17247, section 3).

    Nothing is dropped before the text model. Before each of ``layers`` those visual tokens stay that receive
    most attention from the prompt's last token, averaged over the heads of the layer just run; equal ones by
    lowest index. Every stage keeps the same share of what it finds, so that the last one leaves ``keep``.
    With ``keep=0.125`` that is a half each time: 50%, 25% and 12.5%, the paper's.

    Attributes:
        keep: Visual tokens of each unit behind the last stage. Averaged over all layers they are several
            times as many: 262 of 576 with ``keep=64``.
        layers: First layers that see fewer tokens, ascending. None: at a quarter, half and three quarters of
            the model's depth, so 8, 16 and 24 of 32 as in the paper.
    """

    _: KW_ONLY
    layers: tuple[int, ...] | None = None
    reads: ClassVar[Literal["vision", "text"]] = "text"
    asking: ClassVar[Asking] = "last"
    published: ClassVar[str] = "PyramidDrop, arXiv 2410.17247"
    departs: ClassVar[str] = (
        "the authors' code ranks by the queries and keys of the layer to come, computed apart; here by the "
        "weights of the layer just run"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_keep(self.keep, "PyramidDrop")  # no callable
        check_layers(self.layers, "PyramidDrop")

    def stage1(self, total: int) -> int:
        """Everything enters the text model."""
        return total

    def fitted(self, num_layers: int) -> Self:
        """Puts the stages at the quarters of the model's depth, where none were given."""
        if self.layers is not None:
            return self
        quarters = sorted({max(1, num_layers * quarter // 4) for quarter in (1, 2, 3)})
        return replace(self, layers=tuple(quarters))

    @property
    def depths(self) -> tuple[int, ...]:
        """First layers that see fewer tokens; those of 32 layers as long as the model is not known."""
        return PAPER if self.layers is None else self.layers

    @property
    def later(self) -> tuple[Stage2, ...]:
        """One stage before each of `depths`."""
        return tuple(Stage2(layer, check_keep(self.keep)) for layer in self.depths)

    def behind(self, stage: Stage2, total: int) -> int:
        """The even shares' product so far, rounded down."""
        kept = fit_keep(check_keep(self.keep), total, "PyramidDrop")
        done = (self.depths.index(stage.layer) + 1) / len(self.depths)
        share: float = (kept / total) ** done
        return max(kept, int(total * share + 1e-9))  # a half as a root of an eighth is a little less

    def attend(self, tokens: Tokens, kept: int, attention: Attention) -> Picked:
        """Ranks the tokens by the attention that they receive."""
        return Picked(top_rows(attention.received, kept))
