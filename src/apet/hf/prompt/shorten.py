"""Stage 1 at the text model: shorten a prompt or a further turn, and remember it for the cache."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from apet.core.errors import ApETError
from apet.hf.arguments import cache_in
from apet.hf.cache.index_map import counting, moved_by, pack, take
from apet.hf.cache.masks import build_causal, remap
from apet.hf.cache.record import CacheRecord
from apet.hf.prompt.columns import columns_left_of, columns_of, kept_columns, place_all, slots_of, tail_of
from apet.hf.prompt.packed import counted, leads_with_text, read_lengths, shorten_lengths
from apet.hf.prompt.positions import set_positions
from apet.hf.prompt_state import Prompt
from apet.hf.state import Call
from apet.methods import Method

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
        call: The running call; gets ``segments``, ``placed``, ``copies`` and ``prompt``.
        method: The method, for ``positions``.
        before: Record of the cache.
        seen: Tokens before this turn.
        config: The text model's config.

    Returns:
        ``kwargs``.

    Raises:
        ApETError: If placeholders and images do not match, or a mask cannot be shortened.
    """
    place_all(call)
    columns_left = columns_left_of(call, method)
    if all(stage is None for stage in call.selections):
        call.prompt = _whole(kwargs, call, method, columns_left, before, seen)
        _hide(call.prompt, call)
        return kwargs
    embeds, mask = kwargs["inputs_embeds"], kwargs.get("attention_mask")
    rows, length, _ = embeds.shape
    prompt, keep = _shortened(kwargs, call, method, columns_left, before, seen)
    index, valid = prompt.index, prompt.valid
    held, width = seen - before.dropped_before, index.shape[1]
    positions = kwargs.pop("position_ids", None)
    led = leads_with_text(positions, config)  # the first row then feeds masks only (Qwen)
    set_positions(prompt, positions[1:] if led else positions, method, call.real)
    kwargs["inputs_embeds"] = take(embeds, index, 1).masked_fill(~valid[..., None], 0)
    if prompt.samples is None:
        kwargs["position_ids"] = torch.arange(held, held + width, device=embeds.device)[None]
    else:
        counts = counted(columns_left, prompt.samples, width).to(embeds.device)
        # Text models of several axes tell samples apart only where a row of text leads these.
        kwargs["position_ids"] = counts.expand(len(positions), -1, -1) if led else counts
    _shorten_deepstack(kwargs, keep, call, columns_left)
    for name, value in kwargs.items():
        if name in ("inputs_embeds", "position_ids", "attention_mask") or not isinstance(value, Tensor):
            continue
        if value.dim() >= 2 and value.shape[1] == length and value.shape[0] in (1, rows):
            kwargs[name] = _take_real(value, index, valid)
    shorten_lengths(kwargs, prompt.lengths, columns_left, call.placed)
    _fit_masks(kwargs, mask, prompt, held, config)
    return kwargs


def _whole(
    kwargs: dict[str, Any], call: Call, method: Method, columns_left: Tensor, before: CacheRecord, seen: int
) -> Prompt:
    """The prompt as it is, where stage 1 keeps everything."""
    embeds = kwargs["inputs_embeds"]
    length, device = embeds.shape[1], embeds.device
    index = counting(embeds, 0, length)
    return Prompt(
        before,
        seen,
        length,
        columns_left,
        index=index,
        first_full=True,
        valid=(columns_left > 0).to(device) if bool((columns_left == 0).any()) else index >= 0,
        slots=columns_of(call.placed, length, device) if method.later else [],
        tail=tail_of(columns_left > 0, call.placed if method.later else ()),
        samples=call.samples,
        lengths=read_lengths(kwargs) if method.later else {},
    )


def _shortened(
    kwargs: dict[str, Any], call: Call, method: Method, columns_left: Tensor, before: CacheRecord, seen: int
) -> tuple[Prompt, Tensor]:
    """The shorter prompt, its positions not yet set, and ``(B, L)`` bool, which columns stay."""
    embeds = kwargs["inputs_embeds"]
    dropping = [placed for placed in call.placed if call.selections[placed.number] is not None]
    untouched = columns_left > 0
    for placed in dropping:
        untouched[placed.row, placed.columns] = False
    keep, kept, whole = kept_columns(call, dropping, untouched, embeds.device)
    counts = columns_left.sum(1)
    index = pack(keep, int(counts.max()))
    call.prompt = Prompt(
        before,
        seen,
        embeds.shape[1],
        columns_left,
        index=index,
        first_full=bool((counts == counts.max()).all()),
        valid=index >= 0,
        slots=slots_of(index, embeds.shape[1], kept, whole, call) if method.later else [],
        tail=tail_of(untouched, call.placed if method.later else ()),
        samples=call.samples,
        lengths=read_lengths(kwargs),
    )
    _hide(call.prompt, call)
    return call.prompt, keep


def _hide(prompt: Prompt, call: Call) -> None:
    """Note which slots are tokens of an image that the caller's mask hides."""
    if any(not bool(call.real[placed.row, placed.columns].all()) for placed in call.placed):
        real = call.real.to(prompt.index.device)
        prompt.masked_slots = take(~real, prompt.index, 1) & prompt.valid


def _fit_masks(kwargs: dict[str, Any], mask: Any, prompt: Prompt, held: int, config: Any) -> None:
    """Fit the attention mask, of whatever form, to the shorter prompt behind the columns that are held."""
    valid = prompt.valid if prompt.masked_slots is None else prompt.valid & ~prompt.masked_slots
    if isinstance(mask, dict):
        kwargs["attention_mask"] = {
            kind: _shorten_mask(own, prompt, held, kwargs, config, kind) for kind, own in mask.items()
        }
    elif isinstance(mask, Tensor) and mask.dim() > 2:
        kwargs["attention_mask"] = _shorten_mask(mask, prompt, held, kwargs, config, "full_attention")
    elif mask is not None:
        earlier = mask[:, : mask.shape[1] - prompt.length].long()
        kwargs["attention_mask"] = torch.cat([earlier, valid.to(mask.device).long()], dim=1)
    elif not prompt.last_full and not _isolated(prompt, kwargs, config):
        kwargs["attention_mask"] = torch.nn.functional.pad(valid.long(), (held, 0), value=1)


def _isolated(prompt: Prompt, kwargs: dict[str, Any], config: Any) -> bool:
    """Whether transformers will tell the slots on the left from real ones by their positions."""
    use_cache = kwargs.get("use_cache")
    caches = getattr(config, "use_cache", False) if use_cache is None else use_cache
    return prompt.samples is not None and cache_in(kwargs) is None and not caches


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
    cache, index, valid = cache_in(kwargs), prompt.index, prompt.valid
    kinds = getattr(config, "layer_types", None) or ()
    width, offset = held + index.shape[1], 0
    if cache is not None:
        layer = kinds.index(kind) if kind in kinds else 0
        width, offset = cache.get_mask_sizes(index.shape[1], layer)
    if mask is None:
        if prompt.last_full:
            return None
        filled = torch.nn.functional.pad(valid, (held, 0), value=True)
        return build_causal(kwargs["inputs_embeds"], filled, held, width, config, offset=offset)
    past = min(held, mask.shape[-1] - prompt.length)  # less behind a sliding window
    keys = torch.cat([counting(index, 0, past), moved_by(index, past)], dim=1)
    return remap(mask, index, keys, width=width)


def _take_real(value: Tensor, index: Tensor, valid: Tensor) -> Tensor:
    """Pick columns; empty slots are False in what is true or false."""
    moved = take(value, index, 1)
    if value.dtype != torch.bool:
        return moved
    return moved & valid.view(*valid.shape, *[1] * (value.dim() - 2))


def _shorten_deepstack(kwargs: dict[str, Any], keep: Tensor, call: Call, columns_left: Tensor) -> None:
    """Keep the rows of features for later layers whose tokens are kept."""
    visual = next((kwargs[name] for name in _VISUAL if isinstance(kwargs.get(name), Tensor)), None)
    if visual is None:
        return
    places = torch.stack(list(call.placeholders.values())).any(0)
    visual = visual.bool().view(keep.shape).to(keep.device).flatten()
    stays = (visual & keep.flatten()).to(torch.uint8)
    columns = stays.argsort(descending=True, stable=True)[: int(columns_left[places].sum())]
    rows = (visual.long().cumsum(0) - 1)[columns]
    for name, value in kwargs.items():
        if "deepstack" in name and isinstance(value, list | tuple):
            kwargs[name] = [layer[rows.to(layer.device)] for layer in value]
        elif "deepstack" in name and isinstance(value, dict):
            kwargs[name] = {number: layer[rows.to(layer.device)] for number, layer in value.items()}


def final_index(prompt: Prompt) -> Tensor:
    """Index map from the last layer's slots to the original columns."""
    if not prompt.later:
        return prompt.index
    last = prompt.later[-1].index
    return take(prompt.index, last, 1).masked_fill(last < 0, -1)


def make_record(prompt: Prompt) -> CacheRecord:
    """What the cache must remember after this turn."""
    turn = CacheRecord(
        prompt.before.lease, prompt.length, prompt.index, prompt.first_full, prompt.later, prompt.tail
    )
    record = prompt.before.grown(prompt.seen, turn)
    record.shift = prompt.before.shift if prompt.shift is None else prompt.shift
    return record
