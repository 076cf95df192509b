"""Kept tokens' own positions: how they travel with the features, and where they are written.

Which tokens are kept is known only behind the encoder, long after the engine has numbered the prompt. The
model therefore appends every kept token's place to its features, as the engine's own video pruning does, and
the engine hands the features back for the positions to be written before they are used.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from vllm.multimodal.inputs import PlaceholderRange

from apet.vllm.parts import PARTS, parts_in

__all__ = ["dropped", "lengthen", "pack", "spots_in", "unpack"]

_DIGITS = 3
_BASE = 256
"""Every digit to 255 is exact in bfloat16."""


def pack(places: Tensor, dtype: torch.dtype) -> Tensor:
    """Places ``(K, axes)`` below 16,777,216 as channels ``(K, 3 * axes)``."""
    digits = [places // _BASE**power % _BASE for power in range(_DIGITS)]
    return torch.stack(digits, dim=-1).flatten(1).to(dtype)


def unpack(rows: Tensor, axes: int) -> tuple[Tensor, Tensor]:
    """Features without the channels of `pack`, and the places ``(K, axes)`` that were in them, int64."""
    channels = axes * _DIGITS
    digits = rows[:, -channels:].long().view(len(rows), axes, _DIGITS)
    powers = torch.tensor([_BASE**power for power in range(_DIGITS)], device=digits.device)
    return rows[:, :-channels], (digits * powers).sum(-1)


def dropped(feature: Any) -> int:
    """How many tokens of an image or video the prompt lacks."""
    if not feature.data or PARTS not in feature.data:
        return 0
    return len(feature.data[PARTS].data) - int(feature.mm_position.get_num_embeds())


def spots_in(feature: Any, start: int, end: int) -> tuple[Tensor, Tensor]:
    """Where an image's or video's placeholders stand, counted from its first token.

    Args:
        feature: The image or video.
        start: First token of a chunk of the prompt.
        end: The one behind its last.

    Returns:
        ``(K,)`` int64 of every placeholder, and ``(K,)`` bool, those in the chunk.
    """
    place = feature.mm_position
    spots = torch.arange(place.length) if place.is_embed is None else place.is_embed.nonzero()[:, 0].cpu()
    return spots, (spots >= start - place.offset) & (spots < end - place.offset)


def lengthen(tokens: list[int], features: list[Any]) -> tuple[list[int], Tensor, list[Any]]:
    """The prompt as it was before compression.

    Returns:
        Its tokens; for each token of the short prompt the number of a token in it, which is that of its
        part's first one for a kept visual token; and the images and videos at their places in it.
    """
    full: list[int] = []
    index: list[int] = []
    moved = []
    done = 0
    for feature in sorted(features, key=lambda feature: feature.mm_position.offset):
        place = feature.mm_position
        index += range(len(full), len(full) + place.offset - done)
        full += tokens[done : place.offset]
        begin, done = len(full), place.offset + place.length
        own = tokens[place.offset : done]
        embeds = [True] * len(own) if place.is_embed is None else place.is_embed.tolist()
        parts = parts_in(feature.data) if feature.data else None
        if parts is None:
            index += range(begin, begin + len(own))
            full += own
        else:
            sizes = torch.bincount(parts.of.long() + 1).tolist()[1:]
            labels = iter(parts.of[parts.leading()].tolist())
            first: dict[int, int] = {}
            for token, embed in zip(own, embeds, strict=True):
                label = next(labels) if embed else -1
                if label < 0:
                    index.append(len(full))
                    full.append(token)
                    continue
                if label not in first:
                    first[label] = len(full)
                    full += [token] * sizes[label]
                index.append(first[label])
        moved.append(replace(feature, mm_position=PlaceholderRange(offset=begin, length=len(full) - begin)))
    index += range(len(full), len(full) + len(tokens) - done)
    full += tokens[done:]
    return full, torch.tensor(index), moved
