"""FastV: behind an early decoder layer, keep what the last token of the prompt attends to."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, Literal

from apet.core.blocks import Tokens
from apet.core.budget import check_keep
from apet.core.errors import ApETError
from apet.core.merge import top_rows
from apet.methods.attended import Attended
from apet.methods.context import Attention
from apet.methods.picker import Picked
from apet.methods.stage2 import Stage2

__all__ = ["FastV"]


@dataclass(frozen=True)
class FastV(Attended):
    """Pruning by attention in an early decoder layer (FastV, arXiv 2403.06764, section 4).

    Nothing is dropped before the text model. Behind its first ``layer`` layers those visual tokens stay that
    receive most attention from the prompt's last token, averaged over the heads of the last of these layers;
    equal ones by lowest index. Each unit is ranked by itself.

    The choice depends on the prompt, so one image is compressed anew for every question, and it needs the
    attention weights of a whole layer, which FlashAttention and sdpa never form.

    Attributes:
        keep: Visual tokens of each unit behind those layers.
        layer: Layers that see all tokens, at least 1; the paper's K, 2.
    """

    _: KW_ONLY
    layer: int = 2
    reads: ClassVar[Literal["vision", "text"]] = "text"

    def __post_init__(self) -> None:
        """Checks the fields.

        Raises:
            ApETError: If a field is not valid.
        """
        super().__post_init__()
        check_keep(self.keep, "FastV")  # no callable
        if isinstance(self.layer, bool) or not isinstance(self.layer, int) or self.layer < 1:
            raise ApETError("FastV", f"layer={self.layer!r}", "an int of at least 1")

    def stage1(self, total: int) -> int:
        """Everything enters the text model."""
        return total

    @property
    def later(self) -> tuple[Stage2, ...]:
        """One stage, behind ``layer`` layers."""
        return (Stage2(self.layer, check_keep(self.keep)),)

    def attend(self, tokens: Tokens, kept: int, attention: Attention) -> Picked:
        """Ranks the tokens by the attention that they receive."""
        return Picked(top_rows(attention.received, kept))
