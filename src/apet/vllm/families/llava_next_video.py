"""LLaVA-NeXT-Video: videos, all frames in one run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from vllm.model_executor.models.llava_next_video import LlavaNextVideoForConditionalGeneration

from apet.vllm.family import under_compression
from apet.vllm.model import CompressingModel
from apet.vllm.parts import equal_parts
from apet.vllm.processor import CompressingProcessor
from apet.vllm.where import InSquares


class _Frames(CompressingProcessor):
    def parts_of(self, modality: str, item: Mapping[str, Any], runs: Tensor) -> Tensor:
        return equal_parts(len(runs), len(item["pixel_values_videos"].data))


@under_compression(_Frames, either_name=True)
class ApETLlavaNextVideo(InSquares, CompressingModel, LlavaNextVideoForConditionalGeneration):
    """LLaVA-NeXT-Video under compression."""
