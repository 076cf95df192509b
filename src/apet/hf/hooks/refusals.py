"""What a forward pass with images is refused for: what could only be answered wrongly."""

from __future__ import annotations

from typing import Any

import transformers
from torch import Tensor, nn
from transformers.cache_utils import DynamicLayer
from transformers.modeling_layers import GradientCheckpointingLayer

from apet.core.errors import ApETError
from apet.hf.cache.compressed import is_static
from apet.hf.families import Family
from apet.methods import Attended, Method

RECURRENT = ("linear_attention", "conv")
"""Kinds of layers that carry a state instead of columns; their mask is a 2D one of the tokens they get."""


def check_masks(config: Any, family: Family) -> None:
    """Refuse block masks that the base model builds: their blocks cannot be picked apart."""
    if family.base_masks and config._attn_implementation == "flex_attention":
        raise ApETError(
            "forward",
            f"flex_attention for {family.title}, whose masks come from its base model",
            "the attention implementation 'sdpa', 'eager' or 'flash_attention_2'",
        )


def check_packed(method: Method, samples: Tensor | None) -> None:
    """Refuse samples packed into one row where a method reads the attention of one text for all images."""
    if samples is not None and isinstance(method, Attended) and method.reads == "text":
        raise ApETError(
            "forward", f"{type(method).__name__} with samples packed into one row", "a sample in each row"
        )


def check_rows(config: Any, rows: int) -> None:
    """Refuse several rows on a filled cache where layers carry a state through padding."""
    if rows > 1 and set(RECURRENT).intersection(getattr(config, "layer_types", None) or ()):
        raise ApETError(
            "forward",
            f"new images on a filled cache (a further turn, or a prefill in chunks) in {rows} rows, where "
            "layers carry a state through the padding between them",
            "one row at a time",
        )


def check_window(config: Any, length: int, cache: Any) -> None:
    """Refuse stage 2 where layers of one mask would see different parts of a sliding window or a chunk.

    Raises:
        ApETError: If the text model has layers with a window, and the prompt or a static cache is longer.
    """
    names, types = ("sliding_window", "attention_chunk_size"), getattr(config, "layer_types", None)
    window = next((size for name in names if (size := getattr(config, name, None)) is not None), None)
    local = types is None or any(kind in name for name in types for kind in ("sliding", "chunked"))
    if window is None or not local:
        return
    # A static layer is cut to the window, so at that length it may belong to a longer cache.
    layers = cache.layers if is_static(cache) else ()
    longest = max([length, *(1 + getattr(layer, "max_cache_len", 0) for layer in layers)])
    if longest > window:
        raise ApETError(
            "forward",
            f"stage 2 on a prompt of {length} tokens with a sliding window of {window}",
            "a prompt (and a static cache) within the window, or a method without stage 2",
        )


def check_checkpointing(module: nn.Module) -> None:
    """Refuse stage 2 where gradient checkpointing would run the layers' hooks again in the backward pass.

    Newer transformers checkpoints the layers' ``forward`` and leaves hooks outside.

    Raises:
        ApETError: If it would.
    """
    inside = "__call__" in vars(GradientCheckpointingLayer)
    if inside and module.training and getattr(module, "is_gradient_checkpointing", False):
        raise ApETError(
            "forward",
            f"stage 2 with gradient checkpointing on transformers {transformers.__version__}",
            "a newer transformers, no gradient checkpointing, or a method without stage 2",
        )


_COPIED = (
    "the cache object that the compressed prefill filled (copies of its keys and values do not tell which "
    "tokens they are)"
)


def check_even(cache: Any) -> None:
    """Refuse a cache, not a compressed one, whose layers hold unequally many tokens.

    Raises:
        ApETError: If they do: keys and values behind stage 2 were copied into another cache.
    """
    held = [layer.keys for layer in cache.layers if type(layer) is DynamicLayer]
    if len({keys.shape[-2] for keys in held if keys is not None}) > 1:
        raise ApETError("forward", "a plain cache with layers of unequal length", _COPIED)


def check_columns(mask: Any, cache: Any, held: int, queries: int, *, images: bool) -> None:
    """Refuse masks that speak of other columns than those that a cache holds.

    Args:
        mask: The caller's attention mask.
        cache: The caller's cache, not a compressed one.
        held: Tokens that it speaks of.
        queries: Tokens of this forward pass.
        images: Whether there are images among these.

    Raises:
        ApETError: If a 2D mask is longer than cache and tokens: keys and values of a compressed cache were
            copied into another one. If a 4D mask comes with images and a static cache: it was made for a
            prompt that is about to get shorter.
    """
    dims = getattr(mask, "ndim", 0)
    if dims == 2 and held and not is_static(cache) and mask.shape[1] > held + queries:
        raise ApETError(
            "forward",
            f"an attention mask of {mask.shape[1]} columns for {held} tokens in the cache and {queries} new",
            _COPIED + ", or a mask of the tokens in the cache",
        )
    if images and dims == 4 and is_static(cache):
        raise ApETError(
            "forward",
            "images with a static cache and a 4D mask",
            "a 2D mask, or generate of the model that apply was given",
        )
