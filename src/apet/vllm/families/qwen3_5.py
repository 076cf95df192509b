"""Qwen3.5, dense and with experts: images and videos as in Qwen3-VL, linear attention in most layers."""

from __future__ import annotations

from vllm.model_executor.models.qwen3_5 import (
    Qwen3_5ForConditionalGeneration,
    Qwen3_5MoeForConditionalGeneration,
    Qwen3_5MoeProcessingInfo,
    Qwen3_5ProcessingInfo,
)
from vllm.model_executor.models.qwen3_vl import Qwen3VLDummyInputsBuilder, Qwen3VLMultiModalProcessor
from vllm.multimodal import MULTIMODAL_REGISTRY

from apet.vllm.families.qwen3_vl import FramesModel
from apet.vllm.mrope import MropeProcessor
from apet.vllm.processor import CompressingInfo

__all__ = ["ApETQwen35", "ApETQwen35Moe"]


class _Info(CompressingInfo, Qwen3_5ProcessingInfo):
    pass


class _MoeInfo(CompressingInfo, Qwen3_5MoeProcessingInfo):
    pass


class _Processor(MropeProcessor, Qwen3VLMultiModalProcessor):
    pass


@MULTIMODAL_REGISTRY.register_processor(_Processor, info=_Info, dummy_inputs=Qwen3VLDummyInputsBuilder)
class ApETQwen35(FramesModel, Qwen3_5ForConditionalGeneration):
    """Qwen3.5 under compression."""


@MULTIMODAL_REGISTRY.register_processor(_Processor, info=_MoeInfo, dummy_inputs=Qwen3VLDummyInputsBuilder)
class ApETQwen35Moe(FramesModel, Qwen3_5MoeForConditionalGeneration):
    """Qwen3.5 MoE under compression."""
