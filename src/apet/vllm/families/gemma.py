"""PaliGemma; Gemma 3: an image and its crops; Gemma 4: images of many sizes, and frames. Its audio stays."""

from __future__ import annotations

from typing import Any

from vllm.model_executor.models.gemma3_mm import Gemma3ForConditionalGeneration
from vllm.model_executor.models.gemma4_mm import Gemma4ForConditionalGeneration
from vllm.model_executor.models.gemma4_unified import Gemma4UnifiedForConditionalGeneration
from vllm.model_executor.models.paligemma import PaliGemmaForConditionalGeneration

from apet.vllm.family import under_compression
from apet.vllm.model import CompressingModel
from apet.vllm.projector import ProjectorModel
from apet.vllm.where import InSquares


@under_compression(either_name=True)
class ApETGemma3(InSquares, CompressingModel, Gemma3ForConditionalGeneration):
    """Gemma 3 under compression."""


@under_compression()
class ApETGemma4(CompressingModel, Gemma4ForConditionalGeneration):
    """Gemma 4 under compression."""


@under_compression()
class ApETGemma4Unified(CompressingModel, Gemma4UnifiedForConditionalGeneration):
    """Gemma 4 without encoders under compression."""


@under_compression(either_name=True)
class ApETPaliGemma(ProjectorModel, PaliGemmaForConditionalGeneration):
    """PaliGemma under compression."""

    def _process_image_pixels(self, image_input: Any) -> Any:
        return self._image_pixels_to_features(self.vision_tower, image_input["data"])
