"""VisionZip: keep what the vision encoder attends to, and a few merged tokens for the rest."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from apet.core.blocks import Tokens, product
from apet.core.budget import resolve_keep
from apet.core.errors import ApETError
from apet.core.merge import top_rows
from apet.methods.attended import Attended
from apet.methods.context import Attention
from apet.methods.picker import Picked

__all__ = ["VisionZip"]


@dataclass(frozen=True)
class VisionZip(Attended):
    """Dominant and contextual tokens (VisionZip, arXiv 2412.04467, section 3.2).

    The dominant tokens receive most attention in the encoder layer whose output the model uses: from the CLS
    token where there is one, else from all tokens on average. They stay as they are. Of the others every
    n-th is a contextual token, into which the rest is averaged by the cosine similarity of the keys in that
    layer. Ties go to the lowest index.

    The paper keeps 54 and 10 of LLaVA-1.5's tokens at 64, and gives the CLS token to the language model in
    addition; transformers' LLaVA has no place for it. ``merge=False`` leaves contextual tokens unmerged.

    Attributes:
        contextual: Share of the kept tokens that are contextual, in (0, 1), rounded; the paper's is 10 of
            64. At least one is, and at least one token is dominant, unless only one is kept: that is
            dominant, and everything else is averaged into it.
    """

    _: KW_ONLY
    merge: bool = True
    contextual: float = 10 / 64
    reads: ClassVar[Literal["vision", "text"]] = "vision"

    def __post_init__(self) -> None:
        """Checks the fields.

        Raises:
            ApETError: If a field is not valid.
        """
        super().__post_init__()
        if not isinstance(self.contextual, float) or not 0 < self.contextual < 1:
            raise ApETError("VisionZip", f"contextual={self.contextual!r}", "a float between 0 and 1")

    def attend(self, tokens: Tokens, kept: int, attention: Attention) -> Picked:
        """Picks the dominant tokens, then the contextual ones among the rest."""
        batch, total = tokens.norms.shape
        if attention.keys is None:
            raise ApETError("VisionZip", "no keys", "the keys of the encoder layer that attends")
        count = min(max(resolve_keep(self.contextual, kept), 1), kept - 1)
        dominant = top_rows(attention.received, kept - count)
        taken = torch.zeros((batch, total), dtype=torch.uint8, device=dominant.device)
        rest = taken.scatter(1, dominant, 1).argsort(dim=1, stable=True)[:, : total - dominant.shape[1]]
        if count == 0:
            return Picked(dominant, assignment=torch.zeros_like(attention.received, dtype=torch.int64))
        step = max(rest.shape[1] // count, 1)
        contextual = rest[:, ::step][:, :count]
        indices = torch.cat((dominant, contextual), dim=1).sort(dim=1).values
        slots = torch.arange(kept, device=indices.device).expand(batch, -1)
        slot_of = torch.zeros((batch, total), dtype=torch.int64, device=indices.device)
        slot_of.scatter_(1, indices, slots)
        nearest = contextual.gather(1, _most_similar(attention.keys, rest, contextual))
        slot_of.scatter_(1, rest, slot_of.gather(1, nearest))
        # Written again: a contextual token goes to itself, whatever equals it.
        return Picked(indices, assignment=slot_of.scatter(1, indices, slots))


def _most_similar(keys: Tensor, rest: Tensor, contextual: Tensor) -> Tensor:
    """For every one of the rest, which contextual token has the most similar key, ``(B, R)``."""
    unit = torch.nn.functional.normalize(keys.to(torch.float32), dim=-1)
    found = []
    for image, left, right in zip(unit, rest, contextual, strict=True):
        found.append(product(image[left][None], image[right].mT[None])[0].argmax(dim=-1))
    return torch.stack(found)
