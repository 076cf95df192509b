"""Families whose images are runs of placeholders, one a tile, between tokens of their own."""

from __future__ import annotations

from vllm.model_executor.models.aria import AriaForConditionalGeneration
from vllm.model_executor.models.cohere2_vision import Cohere2VisionForConditionalGeneration
from vllm.model_executor.models.idefics3 import Idefics3ForConditionalGeneration
from vllm.model_executor.models.lfm2_vl import Lfm2VLForConditionalGeneration
from vllm.model_executor.models.smolvlm import SmolVLMForConditionalGeneration

from apet.vllm.family import under_compression
from apet.vllm.model import CompressingModel


@under_compression()
class ApETAria(CompressingModel, AriaForConditionalGeneration):
    """Aria under compression."""


@under_compression(either_name=True)
class ApETCohere2Vision(CompressingModel, Cohere2VisionForConditionalGeneration):
    """Command A Vision under compression."""


@under_compression()
class ApETIdefics3(CompressingModel, Idefics3ForConditionalGeneration):
    """Idefics3 under compression."""


@under_compression()
class ApETSmolVLM(CompressingModel, SmolVLMForConditionalGeneration):
    """SmolVLM under compression."""


@under_compression(either_name=True)
class ApETLfm2VL(CompressingModel, Lfm2VLForConditionalGeneration):
    """LFM2-VL under compression."""
