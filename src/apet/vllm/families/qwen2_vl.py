"""Qwen2-VL and Qwen2.5-VL: all frames of a video in one run of placeholders."""

from __future__ import annotations

from vllm.model_executor.models.qwen2_5_vl import Qwen2_5_VLForConditionalGeneration
from vllm.model_executor.models.qwen2_vl import Qwen2VLForConditionalGeneration

from apet.vllm.family import under_compression
from apet.vllm.mrope import MropeModel, OneRunProcessor


@under_compression(OneRunProcessor)
class ApETQwen2VL(MropeModel, Qwen2VLForConditionalGeneration):
    """Qwen2-VL under compression."""


@under_compression(OneRunProcessor)
class ApETQwen25VL(MropeModel, Qwen2_5_VLForConditionalGeneration):
    """Qwen2.5-VL under compression."""
