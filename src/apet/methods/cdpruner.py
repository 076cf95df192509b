"""CDPruner: a determinantal choice of unlike tokens that have to do with the prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from apet.core.blocks import Tokens, product
from apet.methods.context import Context
from apet.methods.picker import Informed, Picked
from apet.methods.relevance import relevance, stretched


@dataclass(frozen=True)
class CDPruner(Informed):
    """Conditional diversity (CDPruner, arXiv 2506.10967, section 3).

    A determinantal point process whose kernel is the cosine similarity of two tokens times the relevance of
    each to the prompt. The tokens are picked greedily, each one that raises the determinant most; ties go to
    the lowest index. The relevance is the mean cosine similarity to the prompt's text embeddings, stretched
    to 0 to 1 over the image, and is the score of a token. It prunes.

    Memory grows with N squared. Once the picked tokens span all others, the rest is picked by place.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"prompt"})
    published: ClassVar[str] = "CDPruner, arXiv 2506.10967"
    departs: ClassVar[str] = (
        "relevance from the language model's embeddings of the whole prompt; the authors' code for LLaVA "
        "takes the negated similarity of CLIP's own projections of patches and question, whose text tower no "
        "checkpoint in transformers brings"
    )

    def pick(self, tokens: Tokens, kept: int, context: Context) -> Picked:
        """Picks greedily, image by image."""
        assert context.prompt is not None  # asked for in `needs`
        relevant = stretched(relevance(tokens.data, context.prompt))
        picked = []
        for image, weight in enumerate(relevant):
            unit = tokens.directions(slice(image, image + 1))
            kernel = product(unit, unit.mT)[0] * weight[:, None] * weight
            picked.append(_greedy(kernel, kept))
        return Picked(torch.stack(picked).sort(dim=1).values, scores=relevant)


def _greedy(kernel: Tensor, count: int) -> Tensor:
    """The tokens ``(count,)`` in the order in which each raises the determinant of ``kernel (N, N)`` most."""
    gains = kernel.diagonal().clone()
    rounding = gains * torch.finfo(torch.float32).eps * 16
    rows = kernel.new_zeros(count, len(kernel))
    picked = torch.empty(count, dtype=torch.int64, device=kernel.device)
    for step in range(count):
        best = gains.argmax().view(1)
        picked[step] = best[0]
        row = kernel.index_select(0, best)
        known = rows[:step]
        if step:
            row = row - product(known.index_select(1, best).mT[None], known[None])[0]
        gain = gains.index_select(0, best)
        rows[step] = (row / torch.where(gain > 0, gain, torch.inf).sqrt())[0]
        gains = gains - rows[step].square()
        # What is nothing but rounding is nothing: then the lowest place is picked.
        gains = torch.where(gains > rounding, gains, torch.zeros_like(gains))
        gains = gains.index_fill(0, picked[: step + 1], -torch.inf)
    return picked
