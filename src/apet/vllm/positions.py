"""Kept tokens' own positions: how they travel with the features, and where they are written.

Which tokens are kept is known only behind the encoder, long after the engine has numbered the prompt. So the
uncompressed prompt is numbered, and what every visual token would have is left with its image; the model
appends every kept token's number to its features, as the engine's own video pruning does, and the engine
hands the features back for the positions to be written before they are used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from vllm.multimodal.inputs import PlaceholderRange

from apet.vllm.parts import parts_in

_DIGITS = 3
_BASE = 256
"""Every digit to 255 is exact in bfloat16."""
_NUMBERED = "apet_numbered"


def pack(numbers: Tensor, dtype: torch.dtype) -> Tensor:
    """Numbers ``(K,)`` below 16,777,216 as channels ``(K, 3)``."""
    return torch.stack([numbers // _BASE**power % _BASE for power in range(_DIGITS)], dim=1).to(dtype)


def unpack(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Features without the channels of `pack`, and the numbers ``(K,)`` that were in them, int64."""
    digits = rows[:, -_DIGITS:].long()
    powers = torch.tensor([_BASE**power for power in range(_DIGITS)], device=digits.device)
    return rows[:, :-_DIGITS], (digits * powers).sum(-1)


def number_prompt(
    tokens: list[int], features: list[Any], number: Callable[[list[int], list[Any]], tuple[Tensor, int]]
) -> tuple[Tensor, int]:
    """Positions of a shortened prompt as they are in the uncompressed one.

    Args:
        tokens: The prompt.
        features: Its images and videos. Each is left with the positions of all its visual tokens, which
            `write_chunk` reads; for now the kept ones have that of the first of their part.
        number: Numbers the uncompressed prompt.

    Returns:
        ``(3, L)``, and by how much the positions behind it run ahead of their number.
    """
    full, index, moved, visual = lengthen(tokens, features)
    positions, delta = number(full, moved)
    delta += len(full) - len(tokens)
    for feature, own in zip(features, visual, strict=True):
        setattr(feature, _NUMBERED, (positions[:, own], delta))
    return positions[:, index], delta


def write_chunk(
    positions: Tensor, features: list[Any], rows: list[Tensor], start: int, end: int
) -> tuple[list[Tensor], int]:
    """Writes the positions of a chunk's kept tokens, and takes their channels off.

    Nothing else is written, and each depends on the prompt alone: a chunk may be run again, and any other may
    come from the prefix cache.

    Args:
        positions: ``(3, L)`` of the prompt, changed in place.
        features: The prompt's images and videos.
        rows: The features of those that reach into the chunk, as far as they do.
        start: First token of the chunk.
        end: The one behind its last.

    Returns:
        The rows without channels, and what `number_prompt` gave besides the positions.
    """
    cleaned: list[Tensor] = []
    delta = 0
    for feature in features:
        if feature.modality == "prompt_embeds":  # a caller's, of text; they have no numbers
            cleaned += rows[len(cleaned) : len(cleaned) + len(_inside(feature, start, end)[:1])]
            continue
        numbered, delta = getattr(feature, _NUMBERED)
        if len(cleaned) < len(rows) and len(where := _inside(feature, start, end)):
            item, numbers = unpack(rows[len(cleaned)])
            positions[:, where.to(positions.device)] = numbered[:, numbers.cpu()].to(positions)
            cleaned.append(item)
    return cleaned, delta


def _inside(feature: Any, start: int, end: int) -> Tensor:
    """Which tokens of a chunk of the prompt are placeholders of an image or video."""
    place = feature.mm_position
    spots = torch.arange(place.length) if place.is_embed is None else place.is_embed.nonzero()[:, 0].cpu()
    where: Tensor = place.offset + spots
    return where[(where >= start) & (where < end)]


def lengthen(tokens: list[int], features: list[Any]) -> tuple[list[int], Tensor, list[Any], list[list[int]]]:
    """The prompt as it was before compression.

    Returns:
        Its tokens; for each token of the short prompt the number of a token in it, which is that of its
        part's first one for a kept visual token; the images and videos at their places in it; and for each
        the numbers of all its visual tokens.
    """
    full: list[int] = []
    index: list[int] = []
    moved: dict[int, Any] = {}
    visual: dict[int, list[int]] = {}
    done = 0
    for which in sorted(range(len(features)), key=lambda which: features[which].mm_position.offset):
        feature = features[which]
        place = feature.mm_position
        index += range(len(full), len(full) + place.offset - done)
        full += tokens[done : place.offset]
        begin, done = len(full), place.offset + place.length
        run = tokens[place.offset : done]
        embeds = [True] * len(run) if place.is_embed is None else place.is_embed.tolist()
        parts = parts_in(feature.data) if feature.data else None
        if parts is None:
            index += range(begin, begin + len(run))
            visual[which] = [begin + at for at, embed in enumerate(embeds) if embed]
            full += run
        else:
            visual[which] = []
            sizes = torch.bincount(parts.of.long() + 1).tolist()[1:]
            labels = iter(parts.of[parts.leading()].tolist())
            first: dict[int, int] = {}
            for token, embed in zip(run, embeds, strict=True):
                label = next(labels) if embed else None
                size = 1 if label is None or label < 0 else sizes[label] if label not in first else 0
                index.append(first.get(label, len(full)) if label is not None else len(full))
                if label is not None and label >= 0:
                    first.setdefault(label, len(full))
                if label is not None:
                    visual[which] += range(len(full), len(full) + size)
                full += [token] * size
        placed = PlaceholderRange(offset=begin, length=len(full) - begin)
        moved[which] = replace(feature, mm_position=placed)
    index += range(len(full), len(full) + len(tokens) - done)
    full += tokens[done:]
    own_order = range(len(features))
    return full, torch.tensor(index), [moved[n] for n in own_order], [visual[n] for n in own_order]
