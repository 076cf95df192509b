"""Qwen2-VL, Qwen2.5-VL and EXAONE 4.5: all frames of a video in one run of placeholders."""

from __future__ import annotations

from typing import Any

from vllm.model_executor.layers.fusion.mm_input_norm import build_mm_input_norm
from vllm.model_executor.models.exaone4_5 import Exaone4_5_ForConditionalGeneration
from vllm.model_executor.models.qwen2_5_vl import Qwen2_5_VLForConditionalGeneration
from vllm.model_executor.models.qwen2_vl import Qwen2VLForConditionalGeneration

from apet.vllm.family import under_compression
from apet.vllm.model import CompressingModel
from apet.vllm.mrope import MropeModel, OneRunProcessor


@under_compression(OneRunProcessor)
class ApETQwen2VL(MropeModel, Qwen2VLForConditionalGeneration):
    """Qwen2-VL under compression."""


@under_compression(OneRunProcessor)
class ApETQwen25VL(MropeModel, Qwen2_5_VLForConditionalGeneration):
    """Qwen2.5-VL under compression."""


@under_compression(OneRunProcessor)
class ApETExaone45(MropeModel, Exaone4_5_ForConditionalGeneration):
    """EXAONE 4.5 under compression: Qwen2.5-VL's encoder, and positions with one axis."""

    apet_axes = 1
    apet_number = CompressingModel.apet_number

    def __init__(self, *, vllm_config: Any, prefix: str = "") -> None:
        super().__init__(vllm_config=vllm_config, prefix=prefix)
        # vLLM leaves the pixels' norm to the encoder, as for Qwen2.5-VL, and builds this one without it.
        self.visual.input_norm = build_mm_input_norm(vllm_config.model_config)
