"""The features of a batch of images and videos, shortened part by part."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from apet.methods import Method
from apet.vllm.parts import Parts

__all__ = ["Short", "compress_items"]


@dataclass(frozen=True)
class Short:
    """What is left of one image or video.

    Attributes:
        rows: ``(K, w)`` features.
        indices: ``(K,)`` int64 ascending, the tokens that they were.
    """

    rows: Tensor
    indices: Tensor


def compress_items(
    method: Method, items: Sequence[Tensor], parts: Sequence[Parts], width: int | None = None
) -> list[Short]:
    """Compresses every part of every item; parts of one length and budget are decided together.

    Features that are not finite do not stop a server: they count as zero or as huge in the decision, and stay
    what they are in the rows.

    Args:
        method: The method; its own budget is not looked at.
        items: Features ``(N_i, w)`` of every item.
        parts: What was decided for every item.
        width: The decision looks at the leading channels only, where others follow (deepstack); None for all.

    Returns:
        One entry per item.
    """
    groups: dict[tuple[int, int], list[tuple[int, Tensor]]] = defaultdict(list)
    left: list[list[Tensor]] = [[] for _ in items]
    rows = list(items)
    for number, (item, own) in enumerate(zip(items, parts, strict=True)):
        for part, keep in enumerate(own.kept.tolist()):
            where = (own.of == part).nonzero()[:, 0]
            if keep < len(where):
                groups[len(where), keep].append((number, where.to(item.device)))
            else:
                left[number].append(where.to(item.device))
        left[number].append((own.of < 0).nonzero()[:, 0].to(item.device))
    for (_, keep), members in groups.items():
        tokens = torch.stack([items[number][where] for number, where in members])
        selection = method.select(torch.nan_to_num(tokens[..., :width]), keep)
        short = selection.apply(tokens, dim=1, merge=method.merge)
        for slot, (number, where) in enumerate(members):
            kept = where[selection.indices[slot]]
            left[number].append(kept)
            rows[number] = rows[number].index_copy(0, kept, short[slot])
    done = []
    for item, indices in zip(rows, left, strict=True):
        order = torch.cat(indices).sort().values
        done.append(Short(item[order], order))
    return done
