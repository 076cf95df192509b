"""Stage 1 at the text model: shorten the prompt, and remember it for the cache."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from apet.core.errors import ApETError
from apet.hf.cache import CacheRecord, Lease
from apet.hf.masks import remap
from apet.hf.packing import invert, pack, take
from apet.hf.placing import place
from apet.hf.state import Call, Prompt
from apet.methods import Method

__all__ = ["final_index", "make_record", "shorten"]


def shorten(kwargs: dict[str, Any], call: Call, method: Method, axes: int) -> dict[str, Any]:
    """Drop the columns of dropped tokens, and with them those of padding, from the text model's inputs.

    The layers get plain counting ``position_ids``; the real positions go to ``call.prompt`` for the rotary
    embedding.

    Args:
        kwargs: The text model's keyword arguments; changed in place.
        call: The running call; gets ``units``, ``placed``, ``copies`` and ``prompt``.
        method: The method, for ``positions``.
        axes: Axes of the rotary positions, where a token has several; ``position_ids`` may have one more.

    Returns:
        ``kwargs``.

    Raises:
        ApETError: If placeholders and images do not match.
    """
    embeds, mask = kwargs["inputs_embeds"], kwargs.get("attention_mask")
    rows, length, _ = embeds.shape
    device = embeds.device
    _place_all(call, device)
    keep = torch.ones(rows, length, dtype=torch.bool, device=device)
    if isinstance(mask, Tensor) and mask.dim() == 2:
        keep &= mask.to(device).bool()
    if all(stage is None for stage in call.stages):
        index = torch.arange(length, device=device).expand(rows, -1)
        call.prompt = Prompt(length, index, keep, [placed.columns for placed in call.placed])
        return kwargs

    kept: list[Tensor] = []
    for placed in call.placed:
        stage, columns = call.stages[placed.number], placed.columns
        if stage is not None:
            keep[placed.row, columns] = False
            columns = columns[stage.indices.to(device)]
            keep[placed.row, columns] = True
        kept.append(columns)
    index = pack(keep)
    valid = index >= 0
    slot_of = invert(index, length)
    slots = [slot_of[placed.row, columns] for placed, columns in zip(call.placed, kept, strict=True)]
    prompt = call.prompt = Prompt(length, index, valid, slots)
    given = kwargs.pop("position_ids", None)
    if given is not None and given.dim() == 3 and given.shape[0] > axes:  # Qwen: the first feeds masks only
        given = given[1:]
    _set_positions(prompt, given, contiguous=method.positions == "contiguous")

    kwargs["inputs_embeds"] = take(embeds, index, 1).masked_fill(~valid[..., None], 0)
    kwargs["position_ids"] = torch.arange(index.shape[1], device=device)[None]
    _shorten_deepstack(kwargs, keep)
    for name, value in kwargs.items():
        if name in ("inputs_embeds", "position_ids", "attention_mask") or not isinstance(value, Tensor):
            continue
        if value.dim() >= 2 and value.shape[1] == length and value.shape[0] in (1, rows):
            moved = take(value, index, 1)
            kwargs[name] = moved & valid if value.dtype == torch.bool and value.dim() == 2 else moved
    if isinstance(mask, dict):
        kwargs["attention_mask"] = {
            kind: None if one is None and bool(valid.all()) else _remap(one, index, valid)
            for kind, one in mask.items()
        }
    elif isinstance(mask, Tensor) and mask.dim() > 2:
        kwargs["attention_mask"] = remap(mask, index)
    elif mask is not None or not bool(valid.all()):
        kwargs["attention_mask"] = valid.long()
    return kwargs


def _place_all(call: Call, device: torch.device) -> None:
    """Number the units of all modalities, and find their placeholders."""
    for name, encoded in call.encoded.items():
        placed, call.copies = place(call.placeholders[name].to(device), encoded, len(call.units))
        call.units += encoded.units
        call.stages += encoded.stages
        call.placed += placed
    if len(call.encoded) > 1:
        call.placed.sort(key=lambda placed: (placed.row, int(placed.columns[0])))


def _remap(mask: Any, index: Tensor, valid: Tensor) -> Tensor:
    """One of the masks that a base model built; None left causal masking to the kernel."""
    if isinstance(mask, Tensor):
        return remap(mask, index)
    if mask is not None:
        raise ApETError(
            "forward",
            f"an attention mask of type {type(mask).__name__} that the base model built",
            "the attention implementation 'sdpa', 'eager' or 'flash_attention_2'",
        )
    width = index.shape[1]
    causal = torch.ones(width, width, dtype=torch.bool, device=index.device).tril()
    # A padding row sees itself, since a softmax over nothing is NaN.
    return (causal & valid[:, None, None, :]) | torch.eye(width, dtype=torch.bool, device=index.device)


def _shorten_deepstack(kwargs: dict[str, Any], keep: Tensor) -> None:
    """Keep the rows of features for later layers whose tokens are kept."""
    visual = kwargs.get("visual_pos_masks")
    if not isinstance(visual, Tensor):
        return
    stays = keep.to(visual.device)[visual.bool()]
    for name, value in kwargs.items():
        if "deepstack" in name and isinstance(value, list | tuple):
            kwargs[name] = [layer[stays.to(layer.device)] for layer in value]


def _set_positions(prompt: Prompt, given: Tensor | None, *, contiguous: bool) -> None:
    """Set the rotary positions of the slots, and how far the tokens behind the prompt move."""
    device = prompt.index.device
    given = torch.arange(prompt.length, device=device)[None] if given is None else given.to(device)
    own = take(given, prompt.index, given.dim() - 1)
    if contiguous:
        first = own.masked_fill(~prompt.valid, torch.iinfo(own.dtype).max).amin(-1, keepdim=True)
        count = prompt.valid.long().cumsum(1) - 1
        prompt.positions = (first + count).masked_fill(~prompt.valid, 0)
        shift = own.amax(-1) - prompt.positions.amax(-1)
        prompt.shift = (shift if shift.dim() == 1 else shift.amax(0))[:, None]
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
