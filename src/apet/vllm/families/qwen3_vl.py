"""Qwen3-VL: every frame of a video is a run of placeholders of its own, between time stamps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from vllm.model_executor.models.qwen3_vl import (
    Qwen3VLDummyInputsBuilder,
    Qwen3VLForConditionalGeneration,
    Qwen3VLMultiModalProcessor,
    Qwen3VLProcessingInfo,
)
from vllm.multimodal import MULTIMODAL_REGISTRY

from apet.vllm.mrope import MropeModel, MropeProcessor, grid_positions
from apet.vllm.processor import CompressingInfo

__all__ = ["ApETQwen3VL", "FramesModel"]


class FramesModel(MropeModel):
    """A model in which every frame starts anew."""

    def apet_width(self) -> int | None:
        """The main features; those for later layers, behind them, follow the decision."""
        width: int = self.visual_dim  # type: ignore[attr-defined]
        return width

    def apet_grid(self, arguments: Mapping[str, Any]) -> list[Tensor]:
        """Rows and columns of the merged grid, the same in every frame."""
        merge: int = self.config.vision_config.spatial_merge_size  # type: ignore[attr-defined]
        grids = arguments["image_grid_thw" if "image_grid_thw" in arguments else "video_grid_thw"].tolist()
        return [grid_positions(1, h // merge, w // merge).repeat(t, 1) for t, h, w in grids]


class _Info(CompressingInfo, Qwen3VLProcessingInfo):
    pass


class _Processor(MropeProcessor, Qwen3VLMultiModalProcessor):
    pass


@MULTIMODAL_REGISTRY.register_processor(_Processor, info=_Info, dummy_inputs=Qwen3VLDummyInputsBuilder)
class ApETQwen3VL(FramesModel, Qwen3VLForConditionalGeneration):
    """Qwen3-VL under compression."""
