"""FastV: behind an early decoder layer, keep what the last token of the prompt attends to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from apet.core.blocks import Tokens
from apet.core.merge import top_rows
from apet.methods.attended import Asking, Attended
from apet.methods.context import Attention
from apet.methods.inside import Inside
from apet.methods.picker import Picked


@dataclass(frozen=True)
class FastV(Attended, Inside):
    """Pruning by attention in an early decoder layer (FastV, arXiv 2403.06764, section 4).

    Nothing is dropped before the text model. Behind its first ``layer`` layers those visual tokens stay that
    receive most attention from the prompt's last token, averaged over the heads of the last of these layers;
    equal ones by lowest index. Each unit is ranked by itself.

    The choice depends on the prompt, so one image is compressed anew for every question, and it needs the
    attention weights of a whole layer, which FlashAttention and sdpa never form.

    Attributes:
        keep: Visual tokens of each unit behind those layers.
        layer: The paper's K, 2.
    """

    reads: ClassVar[Literal["vision", "text"]] = "text"
    asking: ClassVar[Asking] = "last"
    published: ClassVar[str] = "FastV, arXiv 2403.06764"
    departs: ClassVar[str] = "each image, tile or frame is ranked by itself"

    def attend(self, tokens: Tokens, kept: int, attention: Attention) -> Picked:
        """Ranks the tokens by the attention that they receive."""
        return Picked(top_rows(attention.received, kept))
