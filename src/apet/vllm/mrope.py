"""Families whose rotary positions have three axes: vLLM's own class numbers the uncompressed prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from apet.vllm.model import CompressingModel
from apet.vllm.parts import Parts, equal_parts
from apet.vllm.processor import CompressingProcessor
from apet.vllm.where import in_grids


class OneRunProcessor(CompressingProcessor):
    """All frames of a video in one run of placeholders."""

    def parts_of(self, modality: str, item: Mapping[str, Any], runs: Tensor) -> Tensor:
        """Frames, as the grid of the image or video has them."""
        return equal_parts(len(runs), int(item[f"{modality}_grid_thw"].data[0]))


class MropeModel(CompressingModel):
    """Mixed into a family's model."""

    apet_axes = 3
    config: Any

    def apet_number(self, tokens: list[int], features: list[Any]) -> tuple[Tensor, int]:
        """As the family does."""
        numbered: tuple[Tensor, int] = super(CompressingModel, self).get_mrope_input_positions(  # type: ignore[misc]
            tokens, features
        )
        return numbered

    def apet_where(self, arguments: dict[str, Any], parts: Sequence[Parts]) -> list[Tensor]:
        """Rows and columns of the merged grid, the same in every frame."""
        grids = arguments["image_grid_thw" if "image_grid_thw" in arguments else "video_grid_thw"]
        return in_grids(grids.tolist(), self.config.vision_config.spatial_merge_size)

    def _postprocess_image_embeds_evs(self, features: Any, inputs: Any) -> Any:
        return features

    def _postprocess_video_embeds_evs(self, features: Any, inputs: Any) -> Any:
        return features
