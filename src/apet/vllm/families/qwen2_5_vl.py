"""Qwen2.5-VL: all frames of a video in one run of placeholders, seconds apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from vllm.model_executor.models.qwen2_5_vl import (
    Qwen2_5_VLDummyInputsBuilder,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLMultiModalProcessor,
    Qwen2_5_VLProcessingInfo,
)
from vllm.multimodal import MULTIMODAL_REGISTRY

from apet.vllm.mrope import MropeModel, MropeProcessor, grid_positions
from apet.vllm.parts import equal_parts
from apet.vllm.processor import CompressingInfo

__all__ = ["ApETQwen25VL"]


class _Info(CompressingInfo, Qwen2_5_VLProcessingInfo):
    pass


class _Processor(MropeProcessor, Qwen2_5_VLMultiModalProcessor):
    def parts_of(self, modality: str, item: Mapping[str, Any], runs: Tensor) -> Tensor:
        return equal_parts(len(runs), int(item[f"{modality}_grid_thw"].data[0]))


@MULTIMODAL_REGISTRY.register_processor(_Processor, info=_Info, dummy_inputs=Qwen2_5_VLDummyInputsBuilder)
class ApETQwen25VL(MropeModel, Qwen2_5_VLForConditionalGeneration):
    """Qwen2.5-VL under compression."""

    def apet_grid(self, arguments: Mapping[str, Any]) -> list[Tensor]:
        """Rows and columns of the merged grid; a frame's first axis is its time."""
        vision = self.config.vision_config
        merge = vision.spatial_merge_size
        if "image_grid_thw" in arguments:
            grids, steps = arguments["image_grid_thw"].tolist(), None
        else:
            grids, steps = arguments["video_grid_thw"].tolist(), arguments.get("second_per_grid_ts")
        seconds = [1.0] * len(grids) if steps is None else torch.as_tensor(steps).flatten().tolist()
        scale = 1.0 if "image_grid_thw" in arguments else vision.tokens_per_second
        return [
            grid_positions(t, h // merge, w // merge, step * scale)
            for (t, h, w), step in zip(grids, seconds, strict=True)
        ]
