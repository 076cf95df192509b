"""Stage 1 at the text model: shorten a prompt or a further turn, and remember it for the cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from apet.core.errors import ApETError
from apet.hf.arguments import cache_in
from apet.hf.cache.index_map import invert, moved_by, numbers, pack, take
from apet.hf.cache.masks import build_causal, remap
from apet.hf.cache.record import CacheRecord
from apet.hf.prompt.packed import counted, read_lengths, shorten_lengths
from apet.hf.prompt.placing import place
from apet.hf.prompt.positions import set_positions
from apet.hf.state import Call, Placed, Prompt
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
    embeds, mask = kwargs["inputs_embeds"], kwargs.get("attention_mask")
    rows, length, _ = embeds.shape
    device = embeds.device
    _place_all(call)
    weights = _weights(call, method)
    if all(stage is None for stage in call.stages):
        valid = (weights > 0).to(device) if bool((weights == 0).any()) else _all(rows, length, device)
        slots = _columns(call.placed, length, device) if method.later else []
        tail = _tail(weights > 0, call.placed if method.later else ())
        call.prompt = Prompt(
            before,
            seen,
            length,
            weights,
            index=numbers(embeds, 0, length),
            index_full=True,
            valid=valid,
            slots=slots,
            tail=tail,
            samples=call.samples,
            lengths=read_lengths(kwargs) if method.later else {},
        )
        return kwargs

    dropping = [one for one in call.placed if call.stages[one.number] is not None]
    untouched = weights > 0
    for one in dropping:
        untouched[one.row, one.columns] = False
    keep, kept, whole = _kept_columns(call, dropping, untouched, device)
    width = int(weights.sum(1).max())
    index = pack(keep, width)
    valid = index >= 0
    slots = _slots(index, length, kept, whole, call) if method.later else []
    tail = _tail(untouched, call.placed if method.later else ())
    prompt = call.prompt = Prompt(
        before,
        seen,
        length,
        weights,
        index=index,
        index_full=bool((weights.sum(1) == width).all()),
        valid=valid,
        slots=slots,
        tail=tail,
        samples=call.samples,
        lengths=read_lengths(kwargs),
    )
    given = kwargs.pop("position_ids", None)
    section = (getattr(config, "rope_parameters", None) or {}).get("mrope_section")
    axes = len(section) if section else 3
    rows_given = given.shape[0] if given is not None and given.dim() == 3 else 0
    if rows_given > axes:  # Qwen: the first feeds masks only
        given = given[1:]
    set_positions(prompt, given, method, call.real)

    kwargs["inputs_embeds"] = take(embeds, index, 1).masked_fill(~valid[..., None], 0)
    held = seen - before.dropped(-1)
    if prompt.samples is None:
        kwargs["position_ids"] = torch.arange(held, held + width, device=device)[None]
    else:
        counts = counted(weights, prompt.samples, width).to(device)
        # Text models of several axes tell samples apart only where a row of text leads these.
        kwargs["position_ids"] = counts.expand(rows_given, -1, -1) if rows_given > axes else counts
    _shorten_deepstack(kwargs, keep, call, weights)
    for name, value in kwargs.items():
        if name in ("inputs_embeds", "position_ids", "attention_mask") or not isinstance(value, Tensor):
            continue
        if value.dim() >= 2 and value.shape[1] == length and value.shape[0] in (1, rows):
            kwargs[name] = _take_real(value, index, valid)
    shorten_lengths(kwargs, prompt.lengths, weights, dropping)
    if isinstance(mask, dict):
        kwargs["attention_mask"] = {
            kind: _shorten_mask(one, prompt, held, kwargs, config, kind) for kind, one in mask.items()
        }
    elif isinstance(mask, Tensor) and mask.dim() > 2:
        kwargs["attention_mask"] = _shorten_mask(mask, prompt, held, kwargs, config, "full_attention")
    elif mask is not None:
        kwargs["attention_mask"] = torch.cat([mask[:, :-length].long(), valid.to(mask.device).long()], dim=1)
    elif not prompt.full and not _isolated(prompt, kwargs, config):
        kwargs["attention_mask"] = torch.nn.functional.pad(valid.long(), (held, 0), value=1)
    return kwargs


def _all(rows: int, length: int, device: torch.device) -> Tensor:
    return torch.ones(rows, length, dtype=torch.bool, device=device)


def _weights(call: Call, method: Method) -> Tensor:
    """``(B, L)`` long on the CPU, how many columns are left of each; see `Prompt`."""
    weights = call.real.long()
    if isinstance(method, NoImage):  # without images no placeholder stays, those of newlines included
        for found in call.placeholders.values():
            weights = weights.masked_fill(found, 0)
    for one in call.placed:
        stage = call.stages[one.number]
        if stage is not None:
            weights[one.row, one.columns] = 0
            weights[one.row, one.columns[0]] = len(stage.indices)
    return weights


def _tail(untouched: Tensor, placed: Sequence[Placed]) -> int:
    """How many of the last columns of every row are real and belong to no segment that may lose some."""
    untouched = untouched.clone()
    for one in placed:
        untouched[one.row, one.columns] = False
    return int(untouched.flip(1).long().cumprod(1).sum(1).min())


def _columns(placed: Sequence[Placed], length: int, device: torch.device) -> list[Tensor]:
    """The columns of every placed segment, counted over all rows, on a device by one copy."""
    flat = torch.cat([one.row * length + one.columns for one in placed]).to(device)
    return list(flat.split([len(one.columns) for one in placed]))


def _kept_columns(
    call: Call, dropping: Sequence[Placed], untouched: Tensor, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Find the columns that stay. What the host knows of them goes to the device in one copy.

    Args:
        call: The running call, with its segments placed.
        dropping: Those that lose tokens.
        untouched: ``(B, L)`` bool on the CPU, the real columns of no such segment.
        device: Where the embeddings are.

    Returns:
        ``(B, L)`` bool, which columns stay; the kept ones of ``dropping``, and the columns of all other
        segments, both counted over all rows one after another.
    """
    length = untouched.shape[1]
    indices = [stage.indices for one in dropping if (stage := call.stages[one.number]) is not None]
    where = torch.cat([one.row * length + one.columns for one in dropping])
    begins = torch.tensor([0, *(len(one.columns) for one in dropping[:-1])], device="cpu").cumsum(0)
    offsets = begins.repeat_interleave(torch.tensor([len(own) for own in indices], device="cpu"))
    others = [one for one in call.placed if call.stages[one.number] is None]
    whole = torch.cat([where[:0], *(one.row * length + one.columns for one in others)])
    parts = (untouched.flatten().long(), where, offsets, whole)
    base, where, offsets, whole = torch.cat(parts).to(device).split([len(part) for part in parts])
    kept = where[torch.cat([own.to(device) for own in indices]) + offsets]
    keep = base.bool().index_fill(0, kept, True)
    return keep.view(untouched.shape), kept, whole


def _slots(index: Tensor, length: int, kept: Tensor, whole: Tensor, call: Call) -> list[Tensor]:
    """The slots of every placed segment's tokens, counted over all rows of the shorter sequence."""
    begins = torch.arange(len(index), device=index.device)[:, None] * index.shape[1]
    slots = (invert(index, length) + begins).flatten()[torch.cat([kept, whole])]
    stages = [call.stages[one.number] for one in call.placed]
    order = sorted(range(len(stages)), key=lambda place: stages[place] is None)
    sizes = [
        len(call.placed[place].columns) if (stage := stages[place]) is None else len(stage.indices)
        for place in order
    ]
    found = dict(zip(order, slots.split(sizes), strict=True))
    return [found[place] for place in range(len(stages))]


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
        if prompt.full:
            return None
        filled = torch.nn.functional.pad(valid, (held, 0), value=True)
        return build_causal(kwargs["inputs_embeds"], filled, held, width, config, offset=offset)
    past = min(held, mask.shape[-1] - prompt.length)  # less behind a sliding window
    keys = torch.cat([numbers(index, 0, past), moved_by(index, past)], dim=1)
    return remap(mask, index, keys, width=width)


def _place_all(call: Call) -> None:
    """Number the segments of all modalities, and find their placeholders."""
    for name, encoded in call.encoded.items():
        placed, call.copies = place(call.placeholders[name], encoded, len(call.segments))
        call.segments += encoded.segments
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


def _shorten_deepstack(kwargs: dict[str, Any], keep: Tensor, call: Call, weights: Tensor) -> None:
    """Keep the rows of features for later layers whose tokens are kept."""
    visual = next((kwargs[name] for name in _VISUAL if isinstance(kwargs.get(name), Tensor)), None)
    if visual is None:
        return
    places = torch.stack(list(call.placeholders.values())).any(0)
    visual = visual.bool().view(keep.shape).to(keep.device).flatten()
    stays = (visual & keep.flatten()).to(torch.uint8)
    columns = stays.argsort(descending=True, stable=True)[: int(weights[places].sum())]
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
        prompt.before.lease, prompt.length, prompt.index, prompt.index_full, prompt.later, prompt.tail
    )
    record = prompt.before.grown(prompt.seen, turn)
    record.shift = prompt.before.shift if prompt.shift is None else prompt.shift
    return record
