"""Gemma 4: images of many sizes, and frames between time stamps; its audio stays as it is."""

from __future__ import annotations

from vllm.model_executor.models.gemma4_mm import (
    Gemma4DummyInputsBuilder,
    Gemma4ForConditionalGeneration,
    Gemma4MultiModalProcessor,
    Gemma4ProcessingInfo,
)
from vllm.multimodal import MULTIMODAL_REGISTRY

from apet.vllm.model import CompressingModel
from apet.vllm.processor import CompressingInfo, CompressingProcessor

__all__ = ["ApETGemma4"]


class _Info(CompressingInfo, Gemma4ProcessingInfo):
    pass


class _Processor(CompressingProcessor, Gemma4MultiModalProcessor):
    pass


@MULTIMODAL_REGISTRY.register_processor(_Processor, info=_Info, dummy_inputs=Gemma4DummyInputsBuilder)
class ApETGemma4(CompressingModel, Gemma4ForConditionalGeneration):
    """Gemma 4 under compression."""
