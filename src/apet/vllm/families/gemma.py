"""PaliGemma; Gemma 3: an image and its crops; Gemma 4: images of many sizes, and frames. Its audio stays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from vllm.model_executor.models.gemma3_mm import Gemma3ForConditionalGeneration
from vllm.model_executor.models.gemma4_mm import Gemma4ForConditionalGeneration
from vllm.model_executor.models.gemma4_unified import Gemma4UnifiedForConditionalGeneration
from vllm.model_executor.models.paligemma import PaliGemmaForConditionalGeneration

from apet.vllm.family import under_compression
from apet.vllm.model import CompressingModel
from apet.vllm.parts import Parts
from apet.vllm.projector import ProjectorModel
from apet.vllm.weights import with_either_name
from apet.vllm.where import in_squares


@under_compression()
class ApETGemma3(CompressingModel, Gemma3ForConditionalGeneration):
    """Gemma 3 under compression."""

    hf_to_vllm_mapper = with_either_name(Gemma3ForConditionalGeneration.hf_to_vllm_mapper)

    def apet_where(self, arguments: dict[str, Any], parts: Sequence[Parts]) -> list[Tensor]:
        """Squares."""
        return in_squares(parts)


@under_compression()
class ApETGemma4(CompressingModel, Gemma4ForConditionalGeneration):
    """Gemma 4 under compression."""


@under_compression()
class ApETGemma4Unified(CompressingModel, Gemma4UnifiedForConditionalGeneration):
    """Gemma 4 without encoders under compression."""


@under_compression()
class ApETPaliGemma(ProjectorModel, PaliGemmaForConditionalGeneration):
    """PaliGemma under compression."""

    hf_to_vllm_mapper = with_either_name(PaliGemmaForConditionalGeneration.hf_to_vllm_mapper)

    def _process_image_pixels(self, image_input: Any) -> Any:
        return self._image_pixels_to_features(self.vision_tower, image_input["data"])
