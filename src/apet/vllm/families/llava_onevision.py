"""LLaVA-OneVision: tiles as in LLaVA-NeXT, and videos whose frames stand before one newline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from vllm.model_executor.models.llava_onevision import LlavaOnevisionForConditionalGeneration

from apet.vllm.families.llava_next import tiles_of
from apet.vllm.family import under_compression
from apet.vllm.model import CompressingModel
from apet.vllm.parts import Parts, equal_parts
from apet.vllm.processor import CompressingProcessor
from apet.vllm.where import from_newlines, in_squares


class _Tiles(CompressingProcessor):
    def parts_of(self, modality: str, item: Mapping[str, Any], runs: Tensor) -> Tensor:
        if modality == "video":
            frames = equal_parts(len(runs) - 1, len(item["pixel_values_videos"].data))
            return torch.cat((frames, frames.new_tensor([-1])))
        size, count = item["image_sizes"].data, len(item["pixel_values"].data)

        def pack(model: Any, tiles: Tensor) -> Any:
            merge = LlavaOnevisionForConditionalGeneration._merge_image_patch_embeddings
            # It takes its newline as an argument here; that of the model is for images of one tile.
            return merge(model, size, tiles, strategy="spatial_unpad", image_newline=model.image_newline)

        return tiles_of(pack, self.info.get_hf_config(), size, count)


@under_compression(_Tiles, either_name=True)
class ApETLlavaOnevision(CompressingModel, LlavaOnevisionForConditionalGeneration):
    """LLaVA-OneVision under compression."""

    def apet_where(self, arguments: dict[str, Any], parts: Sequence[Parts]) -> list[Tensor]:
        """Of an image a square and the rows of all tiles; of a video squares."""
        return in_squares(parts) if "pixel_values_videos" in arguments else from_newlines(parts)
