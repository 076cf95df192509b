"""Gemma 3: an image and its crops, each between tokens of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from vllm.model_executor.models.gemma3_mm import (
    Gemma3DummyInputsBuilder,
    Gemma3ForConditionalGeneration,
    Gemma3MultiModalProcessor,
    Gemma3ProcessingInfo,
)
from vllm.multimodal import MULTIMODAL_REGISTRY

from apet.vllm.model import CompressingModel
from apet.vllm.parts import Parts
from apet.vllm.processor import CompressingInfo, CompressingProcessor
from apet.vllm.weights import with_either_name
from apet.vllm.where import in_squares

__all__ = ["ApETGemma3"]


class _Info(CompressingInfo, Gemma3ProcessingInfo):
    pass


class _Processor(CompressingProcessor, Gemma3MultiModalProcessor):
    pass


@MULTIMODAL_REGISTRY.register_processor(_Processor, info=_Info, dummy_inputs=Gemma3DummyInputsBuilder)
class ApETGemma3(CompressingModel, Gemma3ForConditionalGeneration):
    """Gemma 3 under compression."""

    hf_to_vllm_mapper = with_either_name(Gemma3ForConditionalGeneration.hf_to_vllm_mapper)

    def apet_where(self, arguments: dict[str, Any], parts: Sequence[Parts]) -> list[Tensor]:
        """Squares."""
        return in_squares(parts)
