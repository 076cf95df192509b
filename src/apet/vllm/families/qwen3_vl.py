"""Qwen3-VL, Qwen3.5, Cosmos 3 and its Edge: every frame is a run of its own, between time stamps."""

from __future__ import annotations

from vllm.model_executor.models.cosmos3 import Cosmos3ForConditionalGeneration
from vllm.model_executor.models.cosmos3_edge import Cosmos3EdgeForConditionalGeneration
from vllm.model_executor.models.qwen3_5 import (
    Qwen3_5ForConditionalGeneration,
    Qwen3_5MoeForConditionalGeneration,
)
from vllm.model_executor.models.qwen3_vl import Qwen3VLForConditionalGeneration
from vllm.model_executor.models.qwen3_vl_moe import Qwen3VLMoeForConditionalGeneration

from apet.vllm.family import under_compression
from apet.vllm.mrope import MropeModel


class _Model(MropeModel):
    visual_dim: int

    def apet_channels(self) -> slice:
        """The main features; those for later layers, behind them, follow the decision."""
        return slice(self.visual_dim)


@under_compression()
class ApETQwen3VL(_Model, Qwen3VLForConditionalGeneration):
    """Qwen3-VL under compression."""


@under_compression()
class ApETQwen3VLMoe(_Model, Qwen3VLMoeForConditionalGeneration):
    """Qwen3-VL MoE under compression."""


@under_compression()
class ApETQwen35(_Model, Qwen3_5ForConditionalGeneration):
    """Qwen3.5 under compression."""


@under_compression()
class ApETQwen35Moe(_Model, Qwen3_5MoeForConditionalGeneration):
    """Qwen3.5 MoE under compression."""


@under_compression()
class ApETCosmos3(_Model, Cosmos3ForConditionalGeneration):
    """Cosmos 3 under compression."""


@under_compression()
class ApETCosmos3Edge(MropeModel, Cosmos3EdgeForConditionalGeneration):
    """Cosmos 3 Edge under compression."""
