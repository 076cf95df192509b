"""Granite Vision 4: tiles as in LLaVA-NeXT, with features for several decoder layers side by side."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from torch import Tensor
from vllm.model_executor.models.granite4_vision import Granite4VisionForConditionalGeneration

from apet.vllm.families.llava_next import tiles_of
from apet.vllm.family import under_compression
from apet.vllm.model import CompressingModel
from apet.vllm.processor import CompressingProcessor
from apet.vllm.where import WithNewlines


class _Tiles(CompressingProcessor):
    def parts_of(self, modality: str, item: Mapping[str, Any], runs: Tensor) -> Tensor:
        config = self.info.get_hf_config()
        size, rate = item["image_sizes"].data, Fraction(config.downsample_rate)

        def pack(model: Any, tiles: Tensor) -> Any:
            model._downsample_rate = rate
            merge = Granite4VisionForConditionalGeneration._pack_and_unpad_image_features
            return merge(model, [tiles], size[None])[0]

        vision = config.vision_config
        side = int(vision.image_size // vision.patch_size * rate)
        return tiles_of(pack, config, size, len(item["pixel_values"].data), side**2)


@under_compression(_Tiles, either_name=True)
class ApETGranite4Vision(WithNewlines, CompressingModel, Granite4VisionForConditionalGeneration):
    """Granite Vision 4 under compression."""

    def apet_channels(self) -> slice:
        """The features of the first decoder layer that gets any; the others follow the decision."""
        layers = [layer for _, layer in self.config.deepstack_layer_map] + self.config.spatial_target_layers
        width, place = self.config.text_config.hidden_size, layers.index(min(layers))
        return slice(place * width, (place + 1) * width)
