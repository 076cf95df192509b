"""ToMe: merge the most similar pairs, again and again."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import torch
from torch import Tensor

from apet.core.blocks import PRODUCT, Tokens, product, row_blocks
from apet.core.merge import merge_rows
from apet.methods.picker import Picked, Picker


@dataclass(frozen=True)
class ToMe(Picker):
    """Bipartite soft matching (ToMe, arXiv 2210.09461, section 3), repeated until K tokens are left.

    A round deals the tokens, in order, to two sets in turn. Each token of the first finds its most similar
    one in the second by cosine, and the most similar pairs merge, as many as are needed, which is half of the
    tokens at most. Merged tokens weigh as much as what they are made of: a token is the mean of its originals
    at any time. A pair stands at the place of its member in the second set. Ties go to the lowest index.

    In a vision encoder ToMe merges a few tokens in every layer and compares the keys of attention. Here all
    merging happens at once, on the tokens themselves. With ``merge=False`` the tokens at those places stay as
    they are. Errors are zeros.
    """

    _: KW_ONLY
    merge: bool = True
    published: ClassVar[str] = "ToMe, arXiv 2210.09461"
    departs: ClassVar[str] = (
        "all merging at once, on the tokens; in an encoder it merges a few in every layer, by the keys"
    )

    def pick(self, tokens: Tokens, kept: int) -> Picked:
        """Merges down to ``kept`` groups."""
        batch, total, _ = tokens.data.shape
        originals = tokens.block(slice(None), slice(None))
        means = originals
        indices = torch.arange(total, device=means.device).expand(batch, -1)
        assignment = indices
        while (count := means.shape[1]) > kept:
            slots, stays = _round(means, min(count - kept, count // 2))
            indices = indices.gather(1, stays)
            assignment = slots.gather(1, assignment)
            means = merge_rows(originals, assignment, indices.shape[1])
        return Picked(indices.contiguous(), assignment=assignment.contiguous())


def _round(means: Tensor, merges: int) -> tuple[Tensor, Tensor]:
    """One matching of ``n`` tokens.

    Args:
        means: ``(B, n, d)`` float32.
        merges: Pairs that merge, 1 to ``n // 2``.

    Returns:
        The new slot of every token, ``(B, n)``, and the tokens that stay, ``(B, n - merges)`` ascending.
    """
    batch, count, width = means.shape
    length = torch.linalg.vector_norm(means, dim=-1, keepdim=True)
    unit = means / torch.where(length > 0, length, torch.inf)
    first, second = unit[:, 0::2].contiguous(), unit[:, 1::2].contiguous()
    likeness = means.new_empty(first.shape[:2])
    partner = torch.empty(first.shape[:2], dtype=torch.int64, device=means.device)
    for images, rows in row_blocks(batch, first.shape[1], width, means.device, PRODUCT):
        best = product(first[images, rows], second[images].mT).max(dim=-1)
        likeness[images, rows], partner[images, rows] = best.values, best.indices
    ranked = likeness.sort(dim=1, descending=True, stable=True).indices
    merged = ranked[:, :merges]
    target = torch.arange(count, device=means.device).repeat(batch, 1)
    target.scatter_(1, 2 * merged, 2 * partner.gather(1, merged) + 1)
    gone = torch.zeros((batch, count), dtype=torch.bool, device=means.device).scatter_(1, 2 * merged, True)
    slot = (~gone).long().cumsum(1) - 1
    stays = gone.to(torch.uint8).argsort(dim=1, stable=True)[:, : count - merges]
    return slot.gather(1, target), stays
