"""Families that decide before the projector, as the paper does."""

from __future__ import annotations

from typing import Any

import torch

from apet.core.errors import ApETError
from apet.vllm.compress import Short, compress_items
from apet.vllm.model import CompressingModel
from apet.vllm.parts import Parts
from apet.vllm.where import InSquares


class ProjectorModel(InSquares, CompressingModel):
    """Mixed into a family's model whose projector takes token by token."""

    multi_modal_projector: Any
    _parse_and_validate_image_input: Any
    _process_image_pixels: Any

    def embed_multimodal(self, **kwargs: Any) -> Any:
        """Encodes a batch of images; the projector runs on the kept tokens only."""
        if self.apet_method.at == "projector_output" or kwargs.get("pixel_values") is None:
            return super().embed_multimodal(**kwargs)
        parts = Parts.take(kwargs)
        features = self._process_image_pixels(self._parse_and_validate_image_input(**kwargs))
        if parts is None:
            raise ApETError("apet.vllm", "pixels whose budget was not decided", "those of the processor")
        compressed = compress_items(self.apet_method, list(features), self.apet_told(kwargs, parts))
        projected = self.multi_modal_projector(torch.cat([item.rows for item in compressed]))
        rows = projected.split([len(item.rows) for item in compressed])
        return self.apet_finish(
            [Short(*pair) for pair in zip(rows, (item.indices for item in compressed), strict=True)], kwargs
        )

    def get_mm_lora_token_counts(
        self, *, modality: str, mm_kwargs: Any, num_mm_embeds: int
    ) -> tuple[int, int | None]:
        """The projector sees the kept tokens."""
        tower, connector = super().get_mm_lora_token_counts(
            modality=modality, mm_kwargs=mm_kwargs, num_mm_embeds=num_mm_embeds
        )
        return tower, connector if self.apet_method.at == "projector_output" else num_mm_embeds
