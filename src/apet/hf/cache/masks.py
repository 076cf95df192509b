"""Attention masks in the coordinates that the layers really hold.

Callers speak of the uncompressed sequence. The layers before stage 2 hold fewer prompt columns, those behind
it fewer still, and tokens decoded later follow one by one in both. One primitive serves every mask: pick
queries and keys by an index map, and hide where the map is empty.

Widths in a step of q tokens, where t came after the prompt of L tokens (`CacheRecord`)::

    tokens          L + t + q                what callers pass, 2D
    before stage 2  first.shape[1] + t + q   what `resume` makes of it; all that transformers builds
    behind stage 2  index.shape[1] + t + q   what `fit_step` makes of that; `record.lead` fewer

A static cache's masks are as wide as the cache in all three.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.masking_utils import (
    ALL_MASK_ATTENTION_FUNCTIONS,
    and_masks,
    causal_mask_function,
    packed_sequence_mask_function,
)

from apet.hf.cache.index_map import take


def _blocked(mask: Tensor) -> bool | float:
    """Value that hides a column in a 4D mask of this dtype."""
    return False if mask.dtype == torch.bool else torch.finfo(mask.dtype).min


def remap(mask: Tensor, queries: Tensor, keys: Tensor | None = None, *, width: int = 0) -> Tensor:
    """Select queries and keys of a mask by index maps.

    ``new[b, h, i, j] = old[b, h, queries[b, i], keys[b, j]]``, hidden where ``keys[b, j]`` is -1.

    Args:
        mask: ``(B or 1, K)`` padding mask, or ``(B or 1, H, L, K)``, bool or additive.
        queries: ``(B, n)`` index map.
        keys: ``(B, m)`` index map; the same as ``queries`` if None.
        width: Keys that the attention sees; those beyond ``m`` are hidden (a static cache is longer than what
            it holds).

    Returns:
        ``(B, m)``, or ``(B, H, n, max(m, width))``.
    """
    keys = queries if keys is None else keys
    if mask.dim() == 2:
        return remap_keys(mask, keys)
    rows = take(mask.transpose(0, 1), queries, 2).transpose(0, 1)
    missing = max(width - keys.shape[1], 0)
    return remap_keys(rows, torch.nn.functional.pad(keys, (0, missing), value=-1))


def continue_index(index: Tensor, width: int, width_before: int, start: int) -> Tensor:
    """Extend an index map of prompt columns by the columns that follow one by one.

    Args:
        index: ``(B, n)`` map from the columns of one layer to those of another.
        width: Columns that the mapped-from layer holds; those beyond what the other holds stay empty.
        width_before: Columns of the mapped-to layer, which lies before it.
        start: Where the following columns begin in the mapped-to layer.

    Returns:
        ``(B, width)`` index map.
    """
    rest = torch.arange(start, start + width - index.shape[1], device=index.device)
    rest = rest.masked_fill(rest >= width_before, -1)
    return torch.cat([index, rest.expand(index.shape[0], -1)], dim=1)


def remap_keys(mask: Tensor, index: Tensor) -> Tensor:
    """Select the keys of a mask: ``(B or 1, .., K)`` to ``(B, .., n)``, hidden where the index map is -1."""
    index = index.to(mask.device)
    if mask.dim() == 2:
        return take(mask, index, 1).masked_fill(index < 0, 0)
    heads, queries = mask.shape[1:3]
    keys = index[:, None, None, :].expand(-1, heads, queries, -1)
    out = mask.expand(index.shape[0], -1, -1, -1).gather(3, keys.clamp(min=0))
    return out.masked_fill(keys < 0, _blocked(mask))


def build_causal(
    hidden: Tensor,
    valid: Tensor,
    past: int,
    keys: int,
    config: Any,
    *,
    offset: int = 0,
    samples: Tensor | None = None,
) -> Any:
    """Make a causal mask with padding, in the form that the model's attention implementation takes.

    Needed where no mask was given although some rows are shorter than others, and where a mask cannot be
    indexed.

    Args:
        hidden: ``(B, q, D)`` states that the layer gets.
        valid: ``(B, m)`` bool over the filled columns, ``m = past + q``.
        past: Columns in the cache before this step.
        keys: Columns that the attention sees (more than ``m`` with a static cache).
        config: The text model's config.
        offset: Filled columns that the attention no longer sees, behind a sliding window.
        samples: ``(B, m)`` the sample that each column belongs to, where several are packed into a row: none
            sees another.

    Returns:
        A mask, a block mask, or None where none is needed.
    """
    make = ALL_MASK_ATTENTION_FUNCTIONS[config._attn_implementation]
    rule = causal_mask_function
    if samples is not None:
        rule = and_masks(rule, packed_sequence_mask_function(samples.to(hidden.device)))
    return make(
        batch_size=hidden.shape[0],
        q_length=hidden.shape[1],
        kv_length=keys,
        q_offset=past,
        kv_offset=offset,
        mask_function=rule,
        attention_mask=valid.to(hidden.device),
        allow_is_causal_skip=samples is None,
        dtype=hidden.dtype,
        config=config,
        device=hidden.device,
    )
