"""DART: behind an early decoder layer, keep a few pivots and what duplicates them and the text least."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import torch
from torch import Tensor

from apet.core.blocks import Tokens, product, take_rows
from apet.core.check import check_int
from apet.core.merge import top_rows
from apet.methods.context import Context
from apet.methods.inside import Inside
from apet.methods.picker import Picked


@dataclass(frozen=True)
class DART(Inside):
    """Duplication-aware reduction (DART, arXiv 2502.11494, section 4).

    Nothing is dropped before the text model. Behind its first ``layer`` layers the pivots are the visual
    tokens whose keys in the last of these layers have the largest L1 norm, and so many tokens of the text
    behind the image, by the same rule. Each pivot in turn, those of the image first and by place, takes its
    share of the remaining budget: the tokens not taken yet whose states are least like its own by cosine, as
    the language model's last norm leaves them. It prunes. Ties go to the lowest index.

    The choice depends on the prompt: one image is compressed anew for every question. No attention weights
    are read, but keys are, from the KV cache.

    Attributes:
        keep: Visual tokens of each unit behind those layers.
        layer: The paper's, 2.
        pivots: Pivots of the image; cut to K where K is smaller.
        text_pivots: Pivots of the text; fewer where that is shorter.
    """

    _: KW_ONLY
    pivots: int = 4
    text_pivots: int = 4
    needs: ClassVar[frozenset[str]] = frozenset({"decoder"})
    published: ClassVar[str] = "DART, arXiv 2502.11494"
    departs: ClassVar[str] = (
        "shares of the pivots differ by one at most, so that exactly K tokens stay; the authors' code keeps "
        "4 + 8 int(K / 8), and takes pivots in the order of a Python set"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self._plain("pivots", check_int)
        self._plain("text_pivots", check_int)

    def pick(self, tokens: Tokens, kept: int, context: Context) -> Picked:
        """Picks the pivots and their least similar tokens."""
        decoder = context.decoder
        assert decoder is not None  # asked for in `needs`
        count, texts = min(self.pivots, kept), min(self.text_pivots, decoder.text_norms.shape[1])
        pivots, text_pivots = top_rows(decoder.norms, count), top_rows(decoder.text_norms, texts)
        heads = torch.cat(
            (take_rows(decoder.states, pivots), take_rows(decoder.text_states, text_pivots)), dim=1
        )
        similar = _cosine(decoder.states, heads)
        taken = torch.zeros_like(decoder.norms, dtype=torch.bool).scatter(1, pivots, True)
        rest, chosen = kept - count, [pivots]
        for number in range(count + texts):
            share = rest // (count + texts) + (number < rest % (count + texts))
            ranked = similar[..., number].masked_fill(taken, torch.inf).sort(dim=1, stable=True).indices
            chosen.append(ranked[:, :share])
            taken = taken.scatter(1, chosen[-1], True)
        indices = torch.cat(chosen, dim=1).sort(dim=1).values
        return Picked(indices, scores=1 - similar.amax(dim=-1), basis=pivots)


def _cosine(states: Tensor, heads: Tensor) -> Tensor:
    """Cosine similarity ``(B, N, P)`` of all states to some; image by image, for the same bits in a batch."""
    unit = torch.nn.functional.normalize(states.to(torch.float32), dim=-1)
    others = torch.nn.functional.normalize(heads.to(torch.float32), dim=-1)
    return torch.cat([product(a[None], b.mT[None]) for a, b in zip(unit, others, strict=True)])
