"""Decode, and further turns, on a compressed cache: what the caller passes, in what the layers hold."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from apet.core.errors import ApETError
from apet.hf.cache.compressed import is_static
from apet.hf.cache.masks import remap_keys
from apet.hf.cache.record import CacheRecord

_PER_TOKEN = ("token_type_ids", "mm_token_type_ids")


def translate(mask: Tensor | None, record: CacheRecord, total: int) -> Tensor | None:
    """Translate a caller's 2D mask over ``total`` tokens to the columns that the first layers hold.

    Returns:
        ``(B, n)``, or None where nothing is to be masked.
    """
    if mask is None:
        if record.first_full:
            return None
        mask = record.first.new_ones(record.first.shape[0], total)
    prompt = record.prompt
    return torch.cat([remap_keys(mask[:, :prompt], record.first), mask[:, prompt:]], dim=1)


def _fit(mask: Any, record: CacheRecord, cache: Any, queries: int) -> Any:
    """Translate a step's mask if it is a 2D one over all tokens.

    One over the columns that are held was translated before, as by the base model's hook; 4D ones, and those
    of static caches, are `resume`'s and transformers' own.

    Raises:
        ApETError: If it is a 2D mask of any other width.
    """
    if (mask is None and record.first_full) or not (mask is None or _is_2d(mask)):
        return mask
    total = int(cache.get_seq_length()) + queries
    if mask is None or mask.shape[1] == total:
        return translate(mask, record, total)
    if mask.shape[1] != total - record.dropped_before and not is_static(cache):
        got = (
            f"an attention mask of {mask.shape[1]} columns for {total - queries} tokens in a compressed cache"
        )
        raise ApETError("forward", f"{got} and {queries} more", f"{total} columns, one for each token")
    return mask


def _is_2d(mask: Any) -> bool:
    return isinstance(mask, Tensor) and mask.dim() == 2


def translate_step(kwargs: dict[str, Any], cache: Any, record: CacheRecord) -> dict[str, Any]:
    """Translate what a base model builds the layers' masks from: the 2D mask, and kinds of tokens.

    Positions that would be counted by a mask must be given, since the translated mask has fewer ones.
    """
    embeds = kwargs.get("inputs_embeds")
    queries = (kwargs["input_ids"] if embeds is None else embeds).shape[1]
    new = {**kwargs, "attention_mask": _fit(kwargs.get("attention_mask"), record, cache, queries)}
    for name in _PER_TOKEN:
        kinds = kwargs.get(name)
        if kinds is not None and kinds.shape[1] > queries:  # those of the whole sequence
            new[name] = translate(kinds, record, kinds.shape[1])
    return new


def resume(kwargs: dict[str, Any], cache: Any, record: CacheRecord) -> dict[str, Any]:
    """Translate mask and positions of a step on a compressed cache.

    With a static cache ``generate`` builds 4D masks itself, from a mask that was translated before, so a
    compiled step passes through unchanged.

    Args:
        kwargs: The text model's keyword arguments; changed in place.
        cache: The cache in them.
        record: Its record.

    Returns:
        ``kwargs``.

    Raises:
        ApETError: If a 4D mask does not fit the columns that the cache holds.
    """
    mask, embeds = kwargs.get("attention_mask"), kwargs.get("inputs_embeds")
    embeds = kwargs["input_ids"] if embeds is None else embeds
    queries = embeds.shape[1]
    if not torch.compiler.is_compiling():
        record.memo = {}
    if isinstance(mask, Tensor) and mask.dim() > 2 and not is_static(cache):
        held = cache.get_mask_sizes(queries, 0)[0]
        if mask.shape[-1] != held:
            raise ApETError(
                "forward",
                f"a 4D attention mask of {mask.shape[-1]} columns on a compressed cache",
                f"a 2D mask over the whole sequence, or a 4D one over the {held} columns that are held",
            )
    new = _fit(mask, record, cache, queries)
    if new is not mask:
        kwargs["attention_mask"] = new
    if record.shift is not None:
        positions = kwargs.get("position_ids")
        if positions is None:
            positions = torch.arange(queries, device=embeds.device)[None] + cache.get_seq_length()
        kwargs["position_ids"] = positions - record.shift.to(positions.device)
    return kwargs
