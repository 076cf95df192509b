"""LLaVA-NeXT-Video: videos, all frames in one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor
from vllm.model_executor.models.llava_next_video import LlavaNextVideoForConditionalGeneration

from apet.vllm.family import under_compression
from apet.vllm.model import CompressingModel
from apet.vllm.parts import Parts, equal_parts
from apet.vllm.processor import CompressingProcessor
from apet.vllm.weights import with_either_name
from apet.vllm.where import in_squares


class _Frames(CompressingProcessor):
    def parts_of(self, modality: str, item: Mapping[str, Any], runs: Tensor) -> Tensor:
        return equal_parts(len(runs), len(item["pixel_values_videos"].data))


@under_compression(_Frames)
class ApETLlavaNextVideo(CompressingModel, LlavaNextVideoForConditionalGeneration):
    """LLaVA-NeXT-Video under compression."""

    hf_to_vllm_mapper = with_either_name(LlavaNextVideoForConditionalGeneration.hf_to_vllm_mapper)

    def apet_where(self, arguments: dict[str, Any], parts: Sequence[Parts]) -> list[Tensor]:
        """Squares."""
        return in_squares(parts)
