"""The features of a batch of images and videos, shortened part by part."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from apet.core.blocks import sent
from apet.core.finite import how_to_read, reading
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
    rows: list[list[Tensor]] = [[] for _ in items]
    places: list[list[Tensor]] = [[] for _ in items]
    for number, (item, own) in enumerate(zip(items, parts, strict=True)):
        first, *others = _split(own, item.device)
        whole = [first]
        for where, keep in zip(others, own.kept.tolist(), strict=True):
            if keep < len(where):
                groups[len(where), keep].append((number, where))
            else:
                whole.append(where)
        places[number] += whole
        rows[number] += [item[where] for where in whole]
    for (_, keep), members in groups.items():
        tokens = torch.stack([items[number][where] for number, where in members])
        decided = torch.nan_to_num(tokens[..., :width])
        # Elsewhere than on a CPU a look at each group would wait for the device.
        with reading(how_to_read() if tokens.device.type == "cpu" else "finite"):
            selection = method.select(decided, keep)
        short = selection.apply(tokens, dim=1, merge=method.merge)
        for slot, (number, where) in enumerate(members):
            places[number].append(where[selection.indices[slot]])
            rows[number].append(short[slot])
    done = []
    for own_rows, own_places in zip(rows, places, strict=True):
        kept, order = torch.cat(own_places).sort()
        done.append(Short(torch.cat(own_rows)[order], kept))
    return done


def _split(parts: Parts, device: torch.device) -> list[Tensor]:
    """The places of the tokens that always stay, then those of each part, ascending."""
    sizes = torch.bincount(parts.of.long() + 1, minlength=len(parts.kept) + 1)
    return list(sent(parts.of.argsort(stable=True), device).split(sizes.tolist()))
