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


@dataclass(frozen=True)
class VisionZip(Attended):
    """Dominant and contextual tokens (VisionZip, arXiv 2412.04467, section 3.2).

    The dominant tokens receive most attention in the encoder layer whose output the model uses: from the CLS
    token where there is one, else from all tokens on average. They stay as they are. Of the others every
    n-th is a contextual token; each of the rest goes to the contextual one whose key in that layer is most
    like its own by cosine. A contextual token becomes itself plus the mean of those that go to it. Ties go to
    the lowest index. ``merge=False`` leaves contextual tokens as they are.

    Attributes:
        contextual: Share of the kept tokens that are contextual, in (0, 1), rounded; the paper's is 10 of
            64. At least one is, and at least one token is dominant, unless only one is kept: everything else
            goes to that one.
    """

    _: KW_ONLY
    merge: bool = True
    contextual: float = 10 / 64
    reads: ClassVar[Literal["vision", "text"]] = "vision"
    published: ClassVar[str] = "VisionZip, arXiv 2412.04467"
    departs: ClassVar[str] = (
        "the published 64 are CLS, 53 dominant and 10 contextual tokens; here 54 and 10, since transformers' "
        "LLaVA has no place for CLS; contextual tokens keep their places instead of the prompt's end"
    )

    def __post_init__(self) -> None:
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
            alone = torch.zeros_like(attention.received, dtype=torch.int64)
            return Picked(dominant, assignment=alone, mix=_added(alone, dominant))
        step = max(rest.shape[1] // count, 1)
        contextual = rest[:, ::step][:, :count]
        indices = torch.cat((dominant, contextual), dim=1).sort(dim=1).values
        slots = torch.arange(kept, device=indices.device).expand(batch, -1)
        slot_of = torch.zeros((batch, total), dtype=torch.int64, device=indices.device)
        slot_of.scatter_(1, indices, slots)
        nearest = contextual.gather(1, _most_similar(attention.keys, rest, contextual))
        slot_of.scatter_(1, rest, slot_of.gather(1, nearest))
        # Written again: a contextual token goes to itself, whatever equals it.
        slot_of = slot_of.scatter(1, indices, slots)
        return Picked(indices, assignment=slot_of, mix=_added(slot_of, indices))


def _added(slot_of: Tensor, indices: Tensor) -> Tensor:
    """Weights ``(B, K, N)``: every kept token itself, plus the mean of the others that go to it."""
    slots = torch.arange(indices.shape[1], device=indices.device)
    alone = torch.zeros((*indices.shape, slot_of.shape[1]), device=indices.device, dtype=torch.float32)
    alone.scatter_(2, indices.unsqueeze(2), 1.0)
    others = (slot_of.unsqueeze(1) == slots.unsqueeze(1)).to(torch.float32) - alone
    return alone + others / others.sum(dim=2, keepdim=True).clamp(min=1.0)


def _most_similar(keys: Tensor, rest: Tensor, contextual: Tensor) -> Tensor:
    """For every one of the rest, which contextual token has the most similar key, ``(B, R)``."""
    unit = torch.nn.functional.normalize(keys.to(torch.float32), dim=-1)
    similar = []
    for image, left, right in zip(unit, rest, contextual, strict=True):
        similar.append(product(image[left][None], image[right].mT[None])[0].argmax(dim=-1))
    return torch.stack(similar)
