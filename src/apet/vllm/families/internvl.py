"""InternVL 3, as transformers and as its makers publish it: tiles of an image in one run, frames in runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor
from vllm.model_executor.models.interns1 import (
    InternS1DummyInputsBuilder,
    InternS1ForConditionalGeneration,
    InternS1MultiModalProcessor,
    InternS1ProcessingInfo,
)
from vllm.model_executor.models.internvl import (
    InternVLChatModel,
    InternVLDummyInputsBuilder,
    InternVLMultiModalProcessor,
    InternVLProcessingInfo,
)
from vllm.multimodal import MULTIMODAL_REGISTRY

from apet.vllm.model import CompressingModel
from apet.vllm.parts import Parts, equal_parts
from apet.vllm.processor import CompressingInfo, CompressingProcessor
from apet.vllm.where import in_squares

__all__ = ["ApETInternVL", "ApETInternVLChat"]


class _Tiles(CompressingProcessor):
    def parts_of(self, modality: str, item: Mapping[str, Any], runs: Tensor) -> Tensor:
        return equal_parts(len(runs), int(item[f"{modality}_num_patches"].data))


class _Squares(CompressingModel):
    def apet_where(self, arguments: dict[str, Any], parts: Sequence[Parts]) -> list[Tensor]:
        """Squares."""
        return in_squares(parts)


class _Info(CompressingInfo, InternS1ProcessingInfo):
    pass


class _ChatInfo(CompressingInfo, InternVLProcessingInfo):
    pass


class _Processor(_Tiles, InternS1MultiModalProcessor):
    pass


class _ChatProcessor(_Tiles, InternVLMultiModalProcessor):
    pass


@MULTIMODAL_REGISTRY.register_processor(_Processor, info=_Info, dummy_inputs=InternS1DummyInputsBuilder)
class ApETInternVL(_Squares, InternS1ForConditionalGeneration):
    """InternVL under compression, as transformers has it."""


@MULTIMODAL_REGISTRY.register_processor(
    _ChatProcessor, info=_ChatInfo, dummy_inputs=InternVLDummyInputsBuilder
)
class ApETInternVLChat(_Squares, InternVLChatModel):
    """InternVL under compression, as its makers publish it."""
