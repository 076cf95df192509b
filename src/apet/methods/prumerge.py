"""PruMerge+: attended and evenly spread tokens, each with what its key is like."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from apet.core.blocks import Tokens, product
from apet.core.check import check_int
from apet.core.errors import ApETError
from apet.core.merge import top_rows
from apet.methods.attended import Asking, Attended
from apet.methods.context import Attention
from apet.methods.picker import Picked


@dataclass(frozen=True)
class PruMerge(Attended):
    """Pruning and merging with spatial samples (LLaVA-PruMerge+, arXiv 2403.15388, section 3).

    Half of the tokens receive most attention from the CLS token in the layer behind the one whose output the
    model uses, all heads taken as one; the other half are evenly spread over the rest. Each becomes itself
    plus the sum of the 32 tokens whose keys are most like its own by cosine, kept ones included, times what
    each of these receives. One more stands for all that are dropped: their sum, times what they receive. Ties
    go to the lowest index. ``merge=False`` leaves the kept tokens as they are.

    Attributes:
        neighbours: Tokens that merge into each kept one.
    """

    _: KW_ONLY
    merge: bool = True
    neighbours: int = 32
    reads: ClassVar[Literal["vision", "text"]] = "vision"
    asking: ClassVar[Asking] = "joined"
    published: ClassVar[str] = "LLaVA-PruMerge+, arXiv 2403.15388"
    departs: ClassVar[str] = (
        "a fixed budget, where the paper's follows the number of attention outliers; the token that stands "
        "for the dropped ones has the place of the most attended of these, not the prompt's end; where the "
        "features are those of the last layer, the attention is too"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self._plain("neighbours", check_int)

    def attend(self, tokens: Tokens, kept: int, attention: Attention) -> Picked:
        """Picks the tokens and mixes the others into them."""
        received, keys = attention.received, attention.keys
        if keys is None:
            raise ApETError("PruMerge", "no keys", "the keys of the encoder layer that attends")
        total = received.shape[1]
        extra = int(2 < kept < total)
        top = (kept - extra + 1) // 2
        spread = kept - extra - top
        chosen = top_rows(received, top)
        rest = _others(chosen, total)
        if spread:
            step = max(rest.shape[1] // spread, 1)
            chosen = torch.cat((chosen, rest[:, step // 2 :: step][:, :spread]), dim=1)
        if extra:
            dropped = received.scatter(1, chosen, -torch.inf)
            chosen = torch.cat((chosen, dropped.argmax(dim=1, keepdim=True)), dim=1)
        unit = torch.nn.functional.normalize(keys.to(torch.float32), dim=-1)
        likeness = torch.stack(
            [
                product(directions[at][None], directions.mT[None])[0]
                for directions, at in zip(unit, chosen, strict=True)
            ]
        )
        own = torch.zeros_like(likeness).scatter(2, chosen.unsqueeze(2), 1.0)
        nearest = likeness.masked_fill(own > 0, -torch.inf).sort(dim=2, descending=True, stable=True).indices
        nearest = nearest[..., : min(self.neighbours, total - 1)]
        mix = own + torch.zeros_like(own).scatter(2, nearest, 1.0) * received.unsqueeze(1)
        if extra:
            gone = torch.ones_like(received).scatter(1, chosen[:, :-1], 0.0)
            mix = torch.cat((mix[:, :-1], (gone * received).unsqueeze(1)), dim=1)
        indices, order = chosen.sort(dim=1)
        slots = torch.arange(kept, device=indices.device).expand_as(indices)
        closest = likeness.gather(1, order.unsqueeze(2).expand_as(likeness)).argmax(dim=1)
        assignment = closest.scatter(1, indices, slots)
        return Picked(
            indices, assignment=assignment, mix=mix.gather(1, order.unsqueeze(2).expand_as(mix)).contiguous()
        )


def _others(chosen: Tensor, total: int) -> Tensor:
    """The tokens that are not chosen, ``(B, N - K)`` ascending."""
    taken = torch.zeros((len(chosen), total), dtype=torch.uint8, device=chosen.device).scatter_(1, chosen, 1)
    return taken.argsort(dim=1, stable=True)[:, : total - chosen.shape[1]]
