"""Stage 1 at the text model: shorten a prompt or a further turn, and remember it for the cache."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from apet.core.errors import ApETError
from apet.hf.cache.index_map import invert, moved_by, numbers, pack, take
from apet.hf.cache.masks import build_causal, remap
from apet.hf.cache.record import CacheRecord
from apet.hf.prompt.placing import place
from apet.hf.state import Call, Prompt
from apet.methods import Method, NoImage

__all__ = ["final_index", "make_record", "shorten"]

_VISUAL = ("visual_pos_masks", "vision_mask")
"""Names under which text models get the places of features for later layers."""


def shorten(
    kwargs: dict[str, Any], call: Call, method: Method, before: CacheRecord, seen: int, config: Any
) -> dict[str, Any]:
    """Drop the columns of dropped tokens, and with them those of padding, from the text model's inputs.

    The layers get plain counting ``position_ids``; the real positions go to ``call.prompt`` for the rotary
    embedding. On a filled cache, masks already speak of the columns that it holds, and then of the tokens of
    this turn; only the latter are dropped.

    Args:
        kwargs: The text model's keyword arguments; changed in place.
        call: The running call; gets ``units``, ``placed``, ``copies`` and ``prompt``.
        method: The method, for ``positions``.
        before: Record of the cache.
        seen: Tokens before this turn.
        config: The text model's config.

    Returns:
        ``kwargs``.

    Raises:
        ApETError: If placeholders and images do not match, or a mask cannot be shortened.
    """
    embeds, mask = kwargs["inputs_embeds"], kwargs.get("attention_mask")
    rows, length, _ = embeds.shape
    device = embeds.device
    _place_all(call, device)
    real = torch.ones(rows, length, dtype=torch.bool, device=device)
    if isinstance(mask, Tensor) and mask.dim() == 2:
        real = mask[:, -length:].to(device).bool()
    keep = _without_placeholders(call, method, real.clone())
    if all(stage is None for stage in call.stages):
        index = numbers(embeds, 0, length)
        slots = [placed.columns for placed in call.placed]
        call.prompt = Prompt(before, seen, length, index, keep, slots)
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
    prompt = call.prompt = Prompt(before, seen, length, index, valid, slots)
    given = kwargs.pop("position_ids", None)
    section = (getattr(config, "rope_parameters", None) or {}).get("mrope_section")
    axes = len(section) if section else 3
    if given is not None and given.dim() == 3 and given.shape[0] > axes:  # Qwen: the first feeds masks only
        given = given[1:]
    _set_positions(prompt, given, method, real)

    kwargs["inputs_embeds"] = take(embeds, index, 1).masked_fill(~valid[..., None], 0)
    held = seen - before.dropped(-1)
    kwargs["position_ids"] = torch.arange(held, held + index.shape[1], device=device)[None]
    _shorten_deepstack(kwargs, keep)
    for name, value in kwargs.items():
        if name in ("inputs_embeds", "position_ids", "attention_mask") or not isinstance(value, Tensor):
            continue
        if value.dim() >= 2 and value.shape[1] == length and value.shape[0] in (1, rows):
            kwargs[name] = _take_real(value, index, valid)
    if isinstance(mask, dict):
        kwargs["attention_mask"] = {
            kind: _shorten_mask(one, prompt, held, kwargs, config, kind) for kind, one in mask.items()
        }
    elif isinstance(mask, Tensor) and mask.dim() > 2:
        kwargs["attention_mask"] = _shorten_mask(mask, prompt, held, kwargs, config, "full_attention")
    elif mask is not None:
        kwargs["attention_mask"] = torch.cat([mask[:, :-length].long(), valid.to(mask.device).long()], dim=1)
    elif not bool(valid.all()):
        kwargs["attention_mask"] = torch.nn.functional.pad(valid.long(), (held, 0), value=1)
    return kwargs


def _without_placeholders(call: Call, method: Method, keep: Tensor) -> Tensor:
    """``(B, L)`` bool, the columns that can stay: without images no placeholder does."""
    if isinstance(method, NoImage):  # those of newlines between tiles, too, which are in no unit
        for found in call.placeholders.values():
            keep = keep & ~found.to(keep.device)
    return keep


def _shorten_mask(
    mask: Any, prompt: Prompt, held: int, kwargs: dict[str, Any], config: Any, kind: str
) -> Any:
    """Shorten a mask that covers queries and keys: one of the base model's, or a caller's own.

    Args:
        mask: ``(B, H, L, K)``, or ``(B, K)`` for FlashAttention, or None where none was needed.
        prompt: The turn.
        held: Columns that the cache holds.
        kwargs: The text model's arguments, those of the shorter sequence.
        config: The text model's config.
        kind: Kind of the layers that it is for.
    """
    if mask is not None and not isinstance(mask, Tensor):
        raise ApETError(
            "forward",
            f"an attention mask of type {type(mask).__name__} that the base model built",
            "the attention implementation 'sdpa', 'eager' or 'flash_attention_2'",
        )
    cache, index, valid = kwargs.get("past_key_values"), prompt.index, prompt.valid
    kinds = getattr(config, "layer_types", None) or ()
    width, offset = held + index.shape[1], 0
    if cache is not None:
        layer = kinds.index(kind) if kind in kinds else 0
        width, offset = cache.get_mask_sizes(index.shape[1], layer)
    if mask is None:
        if bool(valid.all()):
            return None
        filled = torch.nn.functional.pad(valid, (held, 0), value=True)
        return build_causal(kwargs["inputs_embeds"], filled, held, width, config, offset=offset)
    past = min(held, mask.shape[-1] - prompt.length)  # less behind a sliding window
    keys = torch.cat([numbers(index, 0, past), moved_by(index, past)], dim=1)
    return remap(mask, index, keys, width=width)


def _place_all(call: Call, device: torch.device) -> None:
    """Number the units of all modalities, and find their placeholders."""
    for name, encoded in call.encoded.items():
        placed, call.copies = place(call.placeholders[name].to(device), encoded, len(call.units))
        call.units += encoded.units
        call.stages += encoded.stages
        call.placed += placed
    if len(call.encoded) > 1:
        call.placed.sort(key=lambda placed: (placed.row, int(placed.columns[0])))


def _take_real(value: Tensor, index: Tensor, valid: Tensor) -> Tensor:
    """Pick columns; empty slots are False in what is true or false."""
    moved = take(value, index, 1)
    if value.dtype != torch.bool:
        return moved
    return moved & valid.view(*valid.shape, *[1] * (value.dim() - 2))


def _shorten_deepstack(kwargs: dict[str, Any], keep: Tensor) -> None:
    """Keep the rows of features for later layers whose tokens are kept."""
    visual = next((kwargs[name] for name in _VISUAL if isinstance(kwargs.get(name), Tensor)), None)
    if visual is None:
        return
    stays = keep.to(visual.device)[visual.bool().view(keep.shape)]
    for name, value in kwargs.items():
        if "deepstack" in name and isinstance(value, list | tuple):
            kwargs[name] = [layer[stays.to(layer.device)] for layer in value]
        elif "deepstack" in name and isinstance(value, dict):
            kwargs[name] = {number: layer[stays.to(layer.device)] for number, layer in value.items()}


def _set_positions(prompt: Prompt, given: Tensor | None, method: Method, real: Tensor) -> None:
    """Set the rotary positions of the slots, and how far the tokens behind the prompt move.

    They move by the distance between the last positions before and after, where the last one before may be
    that of a dropped token: ``real (B, L)`` are the columns that were no padding.
    Contiguous ones begin where the prompt began and count up on every axis alike, as those of text do.
    """
    device = prompt.index.device
    if given is None:
        given = torch.arange(prompt.seen, prompt.seen + prompt.length, device=device)[None]
    given = given.to(device)
    own = take(given, prompt.index, given.dim() - 1)
    if method.positions == "contiguous":
        # Qwen3-Omni's are floats.
        first = given.masked_fill(~real, given.amax()).amin(-1, keepdim=True)
        count = prompt.valid.long().cumsum(1) - 1
        prompt.positions = (first + count).masked_fill(~prompt.valid, 0)
    elif method.replaces:
        prompt.positions = _closed_up(own, prompt.valid)
    else:
        prompt.positions = own.masked_fill(~prompt.valid, 0)
        return
    shift = given.masked_fill(~real, 0).amax(-1) - prompt.positions.amax(-1)
    prompt.shift = (shift if shift.dim() == 1 else shift.amax(0))[:, None]
    if prompt.before.shift is not None:  # the given positions were moved by it
        prompt.shift = prompt.shift + prompt.before.shift


def _closed_up(own: Tensor, valid: Tensor) -> Tensor:
    """Positions without the gaps that no token is left in, on any axis.

    So a token of the upper left of an image's grid has its position in a smaller image, and the text behind
    it begins where it would behind that one.
    """
    rows = own.movedim(-2, 0).flatten(1) if own.dim() == 3 else own
    real = valid[:, None].expand(-1, rows.shape[1] // valid.shape[1], -1).flatten(1)
    size = int(rows.amax()) + 2
    used = torch.zeros(len(rows), size, dtype=torch.long, device=rows.device)
    used.scatter_(1, rows.masked_fill(~real, size - 1), 1)
    first = rows.masked_fill(~real, size).amin(1, keepdim=True)
    rank = first + used.cumsum(1).gather(1, rows.clamp(min=0)) - 1
    rank = rank.masked_fill(~real, 0)
    return rank.unflatten(1, (own.shape[0], -1)).movedim(0, -2) if own.dim() == 3 else rank


def final_index(prompt: Prompt) -> Tensor:
    """Index map from the last layer's slots to the original columns."""
    if not prompt.later:
        return prompt.index
    last = prompt.later[-1].index
    return take(prompt.index, last, 1).masked_fill(last < 0, -1)


def make_record(prompt: Prompt) -> CacheRecord:
    """What the cache must remember after this turn."""
    record = prompt.before.grown(prompt.seen, prompt.length, prompt.index, prompt.later)
    kept = invert(final_index(prompt), prompt.length) >= 0
    record.tail = int(kept.flip(1).long().cumprod(1).sum(1).min())
    record.shift = prompt.before.shift if prompt.shift is None else prompt.shift
    return record
