"""InternVL, as transformers and its makers have it, InternS1, Qianfan-OCR: tiles in one run, frames apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from vllm.model_executor.models.interns1 import InternS1ForConditionalGeneration
from vllm.model_executor.models.internvl import InternVLChatModel
from vllm.model_executor.models.qianfan_ocr import QianfanOCRForConditionalGeneration

from apet.vllm.family import under_compression
from apet.vllm.model import CompressingModel
from apet.vllm.parts import equal_parts
from apet.vllm.processor import CompressingProcessor
from apet.vllm.where import InSquares


class _Tiles(CompressingProcessor):
    def parts_of(self, modality: str, item: Mapping[str, Any], runs: Tensor) -> Tensor:
        return equal_parts(len(runs), int(item[f"{modality}_num_patches"].data))


@under_compression(_Tiles)
class ApETInternVL(InSquares, CompressingModel, InternS1ForConditionalGeneration):
    """InternVL and InternS1 under compression, as transformers has them."""


@under_compression(_Tiles)
class ApETInternVLChat(InSquares, CompressingModel, InternVLChatModel):
    """InternVL under compression, as its makers publish it."""


@under_compression(_Tiles)
class ApETQianfanOCR(InSquares, CompressingModel, QianfanOCRForConditionalGeneration):
    """Qianfan-OCR under compression."""
