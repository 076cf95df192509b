"""Masks of the layers behind a stage inside the text model, which hold fewer columns than those before it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from apet.core.errors import ApETError
from apet.hf.cache.compressed import is_static, record_of
from apet.hf.cache.masks import build_causal, continue_index, remap_keys
from apet.hf.cache.record import CacheRecord


def mask_behind(
    config: Any,
    layer: int,
    hidden: Tensor,
    cache: Any,
    valid: Tensor,
    record: CacheRecord,
    samples: Tensor | None = None,
) -> Any:
    """A mask over the columns that the layers behind stage 2 hold, where none could be translated.

    Args:
        config: The text model's config.
        layer: Number of the layer.
        hidden: ``(B, q, D)`` states that it gets.
        cache: The cache before this step, or None.
        valid: ``(B, m)`` bool over its columns, with those of this step.
        record: The record of the cache before this step.
        samples: ``(B, m)`` the sample of every column, where several are packed into a row.
    """
    queries, keys = hidden.shape[1], valid.shape[1]
    if cache is not None:
        # A compressed cache tells those before stage 2.
        keys = cache.get_mask_sizes(queries, layer)[0]
        # In a first prefill the cache is no compressed one yet.
        keys -= 0 if is_static(cache) or record_of(cache) is None else record.lead(layer)
    past = valid.shape[1] - queries
    return build_causal(hidden, valid, past, keys, config, samples=samples)


def fit_step(
    config: Any, layer: int, hidden: Tensor, mask: Any, cache: Any, record: CacheRecord, index: Tensor
) -> Any:
    """The mask of a step, over the columns that the layers behind a stage hold."""
    queries, prompt_width = hidden.shape[1], record.first.shape[1]
    if not isinstance(mask, Tensor):
        past = int(cache.get_query_offset(layer)) - record.lead(layer)
        valid = torch.nn.functional.pad(index >= 0, (0, past + queries - index.shape[1]), value=True)
        return mask_behind(config, layer, hidden, cache, valid, record)
    width = mask.shape[-1]
    behind = width - prompt_width + index.shape[1]
    if mask.dim() == 4 and is_static(cache):
        behind = width
    elif mask.dim() == 4 and width != (held := cache.get_query_offset(layer) + queries):
        raise ApETError(
            "forward",
            f"stage 2 with a mask of {width} columns where the cache holds {held}",
            "generation within the sliding window, or a method without stage 2",
        )
    return remap_keys(mask, continue_index(index, behind, width, prompt_width))
