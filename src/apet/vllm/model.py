"""The model's side: fewer features of every image and video."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from apet.core.errors import ApETError
from apet.vllm.compress import Short, compress_items
from apet.vllm.parts import Parts
from apet.vllm.settings import server_method

__all__ = ["CompressingModel"]


class CompressingModel:
    """Mixed into a family's model, before vLLM's class."""

    def __init__(self, *, vllm_config: Any, prefix: str = "") -> None:
        super().__init__(vllm_config=vllm_config, prefix=prefix)  # type: ignore[call-arg]
        self.apet_method = server_method(vllm_config.model_config.hf_config)
        if "places" in self.apet_method.needs and type(self).apet_where is CompressingModel.apet_where:
            got = f"{type(self.apet_method).__name__} for {type(self).__name__}, which tells no places"
            raise ApETError("apet.vllm", got, "a method that decides by the visual tokens alone")

    def apet_where(self, arguments: dict[str, Any], parts: Sequence[Parts]) -> list[Tensor]:
        """Row and column ``(N, 2)`` of every item's tokens, on the CPU, for a method that asks for places.

        Args:
            arguments: The encoder's arguments.
            parts: What was decided for every item.
        """
        raise NotImplementedError

    def apet_told(self, arguments: dict[str, Any], parts: Sequence[Parts]) -> list[Tensor] | None:
        """The same if the method asks for it."""
        return self.apet_where(arguments, parts) if "places" in self.apet_method.needs else None

    def apet_width(self) -> int | None:
        """Leading channels of the features that the decision looks at; None for all."""
        return None

    def apet_finish(self, short: list[Short], arguments: dict[str, Any]) -> tuple[Tensor, ...]:
        """The features as they are handed to the engine."""
        return tuple(item.rows for item in short)

    def embed_multimodal(self, **kwargs: Any) -> Any:
        """Encodes a batch of images or videos, and compresses what comes out."""
        parts = Parts.take(kwargs)
        features = super().embed_multimodal(**kwargs)  # type: ignore[misc]
        items = [item.reshape(-1, item.shape[-1]) for item in features]
        if parts is None:  # features that the caller computed
            parts = [Parts.everything(len(item)) for item in items]
        where = self.apet_told(kwargs, parts)
        return self.apet_finish(
            compress_items(self.apet_method, items, parts, self.apet_width(), where), kwargs
        )

    def get_encoder_cudagraph_config(self) -> Any:
        """No CUDA graphs of the encoder: they replay it without `embed_multimodal`."""
        return dataclasses.replace(super().get_encoder_cudagraph_config(), modalities=[])  # type: ignore[misc]
