"""LLaVA-1.5."""

from __future__ import annotations

from typing import Any

from vllm.model_executor.models.llava import (
    LlavaDummyInputsBuilder,
    LlavaForConditionalGeneration,
    LlavaMultiModalProcessor,
    LlavaProcessingInfo,
)
from vllm.multimodal import MULTIMODAL_REGISTRY

from apet.core.errors import ApETError
from apet.vllm.family import EITHER_NAME
from apet.vllm.processor import CompressingInfo, CompressingProcessor
from apet.vllm.projector import ProjectorModel


class _Info(CompressingInfo, LlavaProcessingInfo):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kind = self.get_hf_config().vision_config.model_type
        if kind == "pixtral":
            raise ApETError(
                "apet.vllm", "a LLaVA with a Pixtral encoder", "one with a CLIP or SigLIP encoder"
            )


class _Processor(CompressingProcessor, LlavaMultiModalProcessor):
    pass


@MULTIMODAL_REGISTRY.register_processor(_Processor, info=_Info, dummy_inputs=LlavaDummyInputsBuilder)
class ApETLlava(ProjectorModel, LlavaForConditionalGeneration):
    """LLaVA-1.5 under compression."""

    hf_to_vllm_mapper = LlavaForConditionalGeneration.hf_to_vllm_mapper | EITHER_NAME
