"""Qwen3-VL with experts: images and videos as in Qwen3-VL."""

from __future__ import annotations

from vllm.model_executor.models.qwen3_vl import Qwen3VLDummyInputsBuilder, Qwen3VLMultiModalProcessor
from vllm.model_executor.models.qwen3_vl_moe import (
    Qwen3VLMoeForConditionalGeneration,
    Qwen3VLMoeProcessingInfo,
)
from vllm.multimodal import MULTIMODAL_REGISTRY

from apet.vllm.families.qwen3_vl import FramesModel
from apet.vllm.mrope import MropeProcessor
from apet.vllm.processor import CompressingInfo

__all__ = ["ApETQwen3VLMoe"]


class _Info(CompressingInfo, Qwen3VLMoeProcessingInfo):
    pass


class _Processor(MropeProcessor, Qwen3VLMultiModalProcessor):
    pass


@MULTIMODAL_REGISTRY.register_processor(_Processor, info=_Info, dummy_inputs=Qwen3VLDummyInputsBuilder)
class ApETQwen3VLMoe(FramesModel, Qwen3VLMoeForConditionalGeneration):
    """Qwen3-VL MoE under compression."""
