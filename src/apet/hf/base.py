"""Hooks of the base model: open and close the state of a forward pass with images."""

from __future__ import annotations

import inspect
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from apet.core.errors import ApETError
from apet.hf.cache import Lease, is_empty, is_static
from apet.hf.families import Family
from apet.hf.stage import Stage
from apet.hf.state import Call, call_in_progress, generation_in_progress
from apet.hf.vision import encoded_of
from apet.methods import Method

__all__ = ["BaseStage"]


class BaseStage(Stage):
    """Opens a call when a forward pass brings images, and closes it in any case.

    Passes without images (decode, text) are left alone before any state is touched.
    """

    def __init__(self, method: Method, lease: Lease, family: Family, config: Any) -> None:
        super().__init__(method, lease)
        self.family = family
        self.config = config  # of the text model

    def before(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Open a call if there are images.

        Raises:
            ApETError: If images come with a filled cache, with features that were not encoded under this
                compression, or with stage 2 and a sliding window that is too short.
        """
        inputs = _by_name(module, args, kwargs)
        features = (inputs.get("mm_encoder_outputs") or {}).get(self.family.modality)
        if features is None and inputs.get("pixel_values") is None:
            return
        check_fresh(inputs.get("past_key_values"))
        encoded = None
        if features is not None:
            encoded = encoded_of(features)
            generation = generation_in_progress.get()
            if encoded is None and generation is not None:  # offloading rebuilds the output object
                encoded = generation.encoded
            if encoded is None or encoded.lease is not self.lease:
                raise ApETError(
                    "forward",
                    "image features that were not encoded under this compression, or were cut into chunks",
                    "pixel_values, or features from get_image_features after apply, in one piece",
                )
        placeholders = self._placeholders(module, inputs)
        if self.method.stage2 is not None:
            check_window(self.config, placeholders.shape[1], inputs.get("past_key_values"))
            check_checkpointing(module)
        call_in_progress.set(Call(self.lease, placeholders, encoded))

    def after(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        """Close the call, also after an exception."""
        if not torch.compiler.is_compiling() and call_in_progress.get() is not None:
            call_in_progress.set(None)

    def _placeholders(self, module: nn.Module, inputs: dict[str, Any]) -> Tensor:
        """``(B, L)`` bool, which tokens stand for a visual token."""
        placeholder: int = getattr(module.config, self.family.placeholder)
        ids: Tensor | None = inputs.get("input_ids")
        if ids is not None:
            return torch.eq(ids, placeholder)
        embeds: Tensor = inputs["inputs_embeds"]
        embedding: Any = module.get_input_embeddings()  # type: ignore[operator]
        return torch.eq(embeds, embedding(torch.tensor(placeholder, device=embeds.device))).all(-1)


def check_fresh(cache: Any) -> None:
    """Refuse images on top of a filled cache.

    Raises:
        ApETError: If the cache holds something.
    """
    if not is_empty(cache):
        raise ApETError(
            "forward",
            f"a new image with a KV cache that already holds {int(cache.get_seq_length())} tokens",
            "an empty cache; further turns on a compressed prompt can add text only",
        )


def check_window(config: Any, length: int, cache: Any) -> None:
    """Refuse stage 2 where layers of one mask would see different parts of a sliding window.

    Raises:
        ApETError: If the text model has sliding-window layers and the prompt is longer than the window, or
            the cache is static.
    """
    window = getattr(config, "sliding_window", None)
    types = getattr(config, "layer_types", None)
    if window is None or (types is not None and not any("sliding" in kind for kind in types)):
        return
    if length > window or is_static(cache):
        raise ApETError(
            "forward",
            f"stage 2 on a prompt of {length} tokens with a sliding window of {window}",
            "a prompt within the window and a dynamic cache, or a method without stage 2",
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


def _by_name(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    if not args:
        return kwargs
    return {**inspect.signature(module.forward).bind_partial(*args).arguments, **kwargs}
