"""Hooks of the base model: open and close the state of a forward pass with images."""

from __future__ import annotations

import inspect
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from apet.core.errors import ApETError
from apet.hf.cache.compressed import is_static, record_of, tokens_in
from apet.hf.cache.record import Lease, check_lease
from apet.hf.cache.resume import translate_step
from apet.hf.families import Family, Modality
from apet.hf.hooks.hooks import Stage
from apet.hf.hooks.vision import encoded_of
from apet.hf.state import Call, Encoded, call_in_progress, generation_in_progress
from apet.methods import Method

__all__ = ["RECURRENT", "BaseStage", "check_rows", "modalities_in"]

RECURRENT = ("linear_attention", "conv")
"""Kinds of layers that carry a state instead of columns; their mask is a 2D one of the tokens they get."""


class BaseStage(Stage):
    """Opens a call when a forward pass brings images, and closes it in any case.

    Passes without images (decode, text) are left alone before any state is touched.
    """

    def __init__(self, method: Method, lease: Lease, family: Family, config: Any) -> None:
        super().__init__(method, lease)
        self.family = family
        self.config = config  # of the text model

    def before(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Open a call if there are images or videos.

        Raises:
            ApETError: If images come with a cache that another compression filled, with features that were
                not encoded under this one, or with stage 2 and a sliding window that is too short; if rows of
                a further turn could differ in length where layers carry a state.
        """
        cache = kwargs.get("past_key_values")
        record = record_of(cache)
        changed = None
        if record is not None and self.family.base_masks:
            # The base model is about to build masks for the columns that the cache holds.
            kwargs = translate_step(kwargs, record)
            changed = args, kwargs
        inputs = _by_name(module, args, kwargs)
        present = modalities_in(inputs, self.family)
        if not present:
            return changed
        check_lease(record, self.lease)
        seen = tokens_in(cache)
        check_masks(self.config, self.family)
        if seen:
            check_rows(self.config, _rows(inputs))
        encoded = {}
        for modality in present:
            features = (inputs.get("mm_encoder_outputs") or {}).get(modality.name)
            if features is not None:
                encoded[modality.name] = self._encoded(features, modality)
        placeholders = {modality.name: self._placeholders(module, inputs, modality) for modality in present}
        if self.method.later:
            length = placeholders[present[0].name].shape[1]
            check_window(self.config, seen + length, cache)
            check_checkpointing(module)
        pixels = {modality.name: inputs.get(modality.pixels) for modality in present}
        call_in_progress.set(Call(self.lease, placeholders, pixels, encoded, inputs.get("input_ids")))
        return changed

    def _encoded(self, features: Any, modality: Modality) -> Encoded:
        """The decisions on features that were encoded before."""
        encoded = encoded_of(features)
        generation = generation_in_progress.get()
        if encoded is None and generation is not None:  # offloading rebuilds the output object
            encoded = generation.encoded.get(modality.name)
        if encoded is None or encoded.lease is not self.lease:
            raise ApETError(
                "forward",
                f"{modality.name} features that were not encoded under this compression, or cut into chunks",
                f"{modality.pixels}, or features from {modality.method} after apply, in one piece",
            )
        return encoded

    def after(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        """Close the call, also after an exception."""
        if not torch.compiler.is_compiling() and call_in_progress.get() is not None:
            call_in_progress.set(None)

    def _placeholders(self, module: nn.Module, inputs: dict[str, Any], modality: Modality) -> Tensor:
        """``(B, L)`` bool, which tokens stand for a visual token."""
        placeholder: int = getattr(module.config, modality.placeholder)
        ids: Tensor | None = inputs.get("input_ids")
        if ids is not None:
            return torch.eq(ids, placeholder)
        embeds: Tensor = inputs["inputs_embeds"]
        embedding: Any = module.get_input_embeddings()  # type: ignore[operator]
        return torch.eq(embeds, embedding(torch.tensor(placeholder, device=embeds.device))).all(-1)


def modalities_in(inputs: dict[str, Any], family: Family) -> list[Modality]:
    """What visual inputs a call of the model brings, as pixels or as features."""
    features = inputs.get("mm_encoder_outputs") or {}
    return [
        modality
        for modality in family.modalities
        if features.get(modality.name) is not None or inputs.get(modality.pixels) is not None
    ]


def check_masks(config: Any, family: Family) -> None:
    """Refuse block masks that the base model builds: their blocks cannot be picked apart.

    Raises:
        ApETError: If it would build them.
    """
    if family.base_masks and config._attn_implementation == "flex_attention":
        raise ApETError(
            "forward",
            f"flex_attention for {family.title}, whose masks come from its base model",
            "the attention implementation 'sdpa', 'eager' or 'flash_attention_2'",
        )


def check_rows(config: Any, rows: int) -> None:
    """Refuse several rows on a filled cache where layers carry a state through padding.

    Raises:
        ApETError: If the text model has such layers.
    """
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


def _rows(inputs: dict[str, Any]) -> int:
    ids: Tensor | None = inputs.get("input_ids")
    return int((inputs["inputs_embeds"] if ids is None else ids).shape[0])


def _by_name(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    if not args:
        return kwargs
    return {**inspect.signature(module.forward).bind_partial(*args).arguments, **kwargs}
