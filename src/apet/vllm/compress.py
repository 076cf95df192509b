"""The features of a batch of images and videos, shortened part by part."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from apet.core.blocks import sent
from apet.core.finite import how_to_read, reading
from apet.methods import Context, Method
from apet.vllm.parts import Parts
from apet.vllm.where import places_in


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
    method: Method,
    items: Sequence[Tensor],
    parts: Sequence[Parts],
    channels: slice = slice(None),
) -> list[Short]:
    """Compresses every part of every item; parts of one length and budget are decided together.

    Features that are not finite do not stop a server: they count as zero or as huge in the decision, and stay
    what they are in the rows.

    Args:
        method: The method; its own budget is not looked at.
        items: Features ``(N_i, w)`` of every item.
        parts: What was decided for every item, and where its tokens lie for a method that asks.
        channels: Those that the decision looks at, where others follow it (deepstack).

    Returns:
        One entry per item.
    """
    groups: dict[tuple[int, int, Hashable], list[tuple[int, Tensor, Context]]] = defaultdict(list)
    rows: list[list[Tensor]] = [[] for _ in items]
    places: list[list[Tensor]] = [[] for _ in items]
    for number, (item, own) in enumerate(zip(items, parts, strict=True)):
        order = own.of.argsort(stable=True)
        sizes = torch.bincount(own.of.long() + 1, minlength=len(own.kept) + 1).tolist()
        first, *others = sent(order, item.device).split(sizes)
        whole = [first]
        for tokens, among, keep in zip(others, order.split(sizes)[1:], own.kept.tolist(), strict=True):
            if keep == len(tokens):
                whole.append(tokens)
                continue
            context = Context() if own.where is None else Context(places_in(own.where, among, item.device))
            groups[len(tokens), keep, context.kind].append((number, tokens, context))
        places[number] += whole
        rows[number] += [item[tokens] for tokens in whole]
    for (_, keep, _), members in groups.items():
        tokens = torch.stack([items[number][own] for number, own, _ in members])
        decided = torch.nan_to_num(tokens[..., channels])
        # Elsewhere than on a CPU a look at each group would wait for the device.
        with reading(how_to_read() if tokens.device.type == "cpu" else "finite"):
            stacked = Context.stack([context for _, _, context in members])
            selection = method.decided(decided, keep, context=stacked)
        short = selection.apply(tokens, dim=1, merge=method.merge)
        for slot, (number, own_tokens, _) in enumerate(members):
            places[number].append(own_tokens[selection.indices[slot]])
            rows[number].append(short[slot])
    compressed = []
    for own_rows, own_places in zip(rows, places, strict=True):
        kept, order = torch.cat(own_places).sort()
        compressed.append(Short(torch.cat(own_rows)[order], kept))
    return compressed
