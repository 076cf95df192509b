"""Stage 1 at the text model: shorten the prompt, and remember it for the cache."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from apet.hf.cache import CacheRecord, Lease
from apet.hf.masks import remap
from apet.hf.packing import invert, pack, take
from apet.hf.placing import place
from apet.hf.state import Call, Encoded, Prompt
from apet.methods import Method

__all__ = ["final_index", "make_record", "shorten"]


def shorten(kwargs: dict[str, Any], call: Call, encoded: Encoded, method: Method) -> dict[str, Any]:
    """Drop the columns of dropped tokens, and with them those of padding, from the text model's inputs.

    The layers get plain counting ``position_ids``; the real positions go to ``call.prompt`` for the rotary
    embedding.

    Args:
        kwargs: The text model's keyword arguments; changed in place.
        call: The running call; gets ``placed``, ``copies`` and ``prompt``.
        encoded: Stage 1's decisions.
        method: The method, for ``positions``.

    Returns:
        ``kwargs``.

    Raises:
        ApETError: If placeholders and images do not match.
    """
    embeds, mask = kwargs["inputs_embeds"], kwargs.get("attention_mask")
    rows, length, _ = embeds.shape
    device = embeds.device
    call.placed, call.copies = place(call.placeholders.to(device), encoded.lengths)
    keep = torch.ones(rows, length, dtype=torch.bool, device=device)
    if isinstance(mask, Tensor) and mask.dim() == 2:
        keep &= mask.to(device).bool()
    if all(stage is None for stage in encoded.stages):
        index = torch.arange(length, device=device).expand(rows, -1)
        call.prompt = Prompt(length, index, keep, [placed.columns for placed in call.placed])
        return kwargs

    kept: list[Tensor] = []
    for placed in call.placed:
        stage, columns = encoded.stages[placed.image], placed.columns
        if stage is not None:
            keep[placed.row, columns] = False
            columns = columns[stage.indices.to(device)]
            keep[placed.row, columns] = True
        kept.append(columns)
    index = pack(keep)
    valid = index >= 0
    slot_of = invert(index, length)
    slots = [slot_of[placed.row, columns] for placed, columns in zip(call.placed, kept, strict=True)]
    call.prompt = Prompt(length, index, valid, slots)
    _set_positions(call.prompt, kwargs.get("position_ids"), contiguous=method.positions == "contiguous")

    kwargs["inputs_embeds"] = take(embeds, index, 1).masked_fill(~valid[..., None], 0)
    kwargs["position_ids"] = torch.arange(index.shape[1], device=device)[None]
    if isinstance(mask, Tensor) and mask.dim() > 2:
        kwargs["attention_mask"] = remap(mask, index)
    elif mask is not None or not bool(valid.all()):
        kwargs["attention_mask"] = valid.long()
    return kwargs


def _set_positions(prompt: Prompt, given: Tensor | None, *, contiguous: bool) -> None:
    """Set the rotary positions of the slots, and how far the tokens behind the prompt move."""
    device = prompt.index.device
    given = torch.arange(prompt.length, device=device)[None] if given is None else given.to(device)
    own = take(given, prompt.index, 1)
    if contiguous:
        first = own.masked_fill(~prompt.valid, torch.iinfo(own.dtype).max).amin(1, keepdim=True)
        count = prompt.valid.long().cumsum(1) - 1
        prompt.positions = (first + count).masked_fill(~prompt.valid, 0)
        prompt.shift = own[:, -1:] - prompt.positions[:, -1:]
    else:
        prompt.positions = own.masked_fill(~prompt.valid, 0)


def final_index(prompt: Prompt) -> Tensor:
    """Index map from the last layer's slots to the original columns."""
    if prompt.second is None:
        return prompt.index
    return take(prompt.index, prompt.second, 1).masked_fill(prompt.second < 0, -1)


def make_record(prompt: Prompt, lease: Lease, method: Method) -> CacheRecord:
    """What the cache of this prompt must remember."""
    kept = invert(final_index(prompt), prompt.length) >= 0
    tail = int(kept.flip(1).long().cumprod(1).sum(1).min())
    return CacheRecord(
        lease=lease,
        prompt=prompt.length,
        first=prompt.index,
        second=prompt.second,
        layer=0 if method.stage2 is None else method.stage2.layer,
        tail=tail,
        shift=prompt.shift,
        full_first=bool((prompt.index >= 0).all()),
        full_second=prompt.full_second,
    )
