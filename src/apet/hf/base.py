"""Hooks of the base model: open and close the state of a forward pass with images."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from apet.core.errors import ApETError
from apet.hf.cache import Lease, is_empty
from apet.hf.families import Family
from apet.hf.state import Call, call_in_progress
from apet.hf.vision import encoded_of

__all__ = ["BaseStage"]


class BaseStage:
    """Opens a call when a forward pass brings images, and closes it in any case.

    Passes without images (decode, text) are left alone before any state is touched.
    """

    def __init__(self, family: Family, lease: Lease) -> None:
        self.family = family
        self.lease = lease

    def before(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Open a call if there are images.

        Raises:
            ApETError: If images come with a filled cache, or with features that were not encoded under this
                compression.
        """
        inputs = _by_name(module, args, kwargs)
        features = (inputs.get("mm_encoder_outputs") or {}).get(self.family.modality)
        if features is None and inputs.get("pixel_values") is None:
            return
        check_fresh(inputs.get("past_key_values"))
        encoded = None
        if features is not None:
            encoded = encoded_of(features)
            if encoded is None or encoded.lease is not self.lease:
                raise ApETError(
                    "forward",
                    "image features that were not encoded under this compression, or were cut into chunks",
                    "pixel_values, or features from get_image_features after apply, in one piece",
                )
        call_in_progress.set(Call(self.lease, self._placeholders(module, inputs), encoded))

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


def _by_name(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    if not args:
        return kwargs
    return {**inspect.signature(module.forward).bind_partial(*args).arguments, **kwargs}
