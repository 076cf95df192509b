"""EXAONE 4.5: Qwen2.5-VL's encoder before a language model whose positions have one axis."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from vllm.model_executor.models.exaone4_5 import Exaone4_5_ForConditionalGeneration

from apet.vllm.family import under_compression
from apet.vllm.model import CompressingModel
from apet.vllm.mrope import MropeModel, OneRunProcessor

__all__ = ["ApETExaone45"]


@under_compression(OneRunProcessor)
class ApETExaone45(MropeModel, Exaone4_5_ForConditionalGeneration):
    """EXAONE 4.5 under compression."""

    apet_axes = 1

    def apet_number(self, tokens: list[int], features: list[Any]) -> tuple[Tensor, int]:
        """Counts the tokens."""
        return CompressingModel.apet_number(self, tokens, features)
