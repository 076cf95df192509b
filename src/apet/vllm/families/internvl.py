"""InternVL, as transformers and its makers have it, InternS1, Qianfan-OCR: tiles in one run, frames apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor
from vllm.model_executor.models.interns1 import InternS1ForConditionalGeneration
from vllm.model_executor.models.internvl import InternVLChatModel
from vllm.model_executor.models.qianfan_ocr import QianfanOCRForConditionalGeneration

from apet.vllm.family import under_compression
from apet.vllm.model import CompressingModel
from apet.vllm.parts import Parts, equal_parts
from apet.vllm.processor import CompressingProcessor
from apet.vllm.where import in_squares


class _Tiles(CompressingProcessor):
    def parts_of(self, modality: str, item: Mapping[str, Any], runs: Tensor) -> Tensor:
        return equal_parts(len(runs), int(item[f"{modality}_num_patches"].data))


class _Squares(CompressingModel):
    def apet_where(self, arguments: dict[str, Any], parts: Sequence[Parts]) -> list[Tensor]:
        """Squares."""
        return in_squares(parts)


@under_compression(_Tiles)
class ApETInternVL(_Squares, InternS1ForConditionalGeneration):
    """InternVL and InternS1 under compression, as transformers has them."""


@under_compression(_Tiles)
class ApETInternVLChat(_Squares, InternVLChatModel):
    """InternVL under compression, as its makers publish it."""


@under_compression(_Tiles)
class ApETQianfanOCR(_Squares, QianfanOCRForConditionalGeneration):
    """Qianfan-OCR under compression."""
