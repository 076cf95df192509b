"""LLaVA-NeXT: a base tile and a grid of tiles, each with a budget of its own; newlines always stay."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from vllm.model_executor.models.llava_next import LlavaNextForConditionalGeneration

from apet.vllm.family import under_compression
from apet.vllm.model import CompressingModel
from apet.vllm.processor import CompressingProcessor
from apet.vllm.where import WithNewlines

_NEWLINE = -9.0


def tiles_of(pack: Callable[..., Tensor], config: Any, size: Tensor, count: int, per_tile: int = 0) -> Tensor:
    """Which tile every packed token comes from, by the model's own packing run on the tiles' numbers.

    A number has two digits, row and column in the grid: where the packing interpolates between two tiles, a
    rounded digit is one of the two.

    Args:
        pack: The packing, of what stands for the model and the tiles' features ``(count, per_tile, 2)``.
        config: The model's config.
        size: Height and width of the image.
        count: Its tiles, the base tile included.
        per_tile: Tokens of each; 0 for as many as the encoder has patches.

    Returns:
        ``(N,)`` int32: 0 for the base tile, then the tiles of the grid, -1 for newlines.
    """
    vision = config.vision_config
    per_tile = per_tile or (vision.image_size // vision.patch_size) ** 2
    across = _across(config, size)
    number = torch.arange(-1, count - 1)
    digits = torch.stack((number // across, number % across), dim=-1).float()
    digits[0] = torch.tensor([-2.0, 0.0])
    newline = torch.full((2,), _NEWLINE)
    stand_in = SimpleNamespace(config=config, image_newline=newline)
    packed = pack(stand_in, digits[:, None].expand(-1, per_tile, -1))
    row, column = packed.round().int().unbind(-1)
    part = torch.where(row == -2, 0, 1 + row * across + column)
    return torch.where(row == int(_NEWLINE), -1, part)


def _across(config: Any, size: Tensor) -> int:
    from vllm.model_executor.models.llava_next import get_anyres_image_grid_shape

    shape = get_anyres_image_grid_shape(
        tuple(size.tolist()), config.image_grid_pinpoints, config.vision_config.image_size
    )
    return int(shape[1])


class _Tiles(CompressingProcessor):
    def parts_of(self, modality: str, item: Mapping[str, Any], runs: Tensor) -> Tensor:
        size, count = item["image_sizes"].data, len(item["pixel_values"].data)

        def pack(model: Any, tiles: Tensor) -> Any:
            merge = LlavaNextForConditionalGeneration._merge_image_patch_embeddings
            return merge(model, size, tiles, strategy="spatial_unpad")

        return tiles_of(pack, self.info.get_hf_config(), size, count)


@under_compression(_Tiles, either_name=True)
class ApETLlavaNext(WithNewlines, CompressingModel, LlavaNextForConditionalGeneration):
    """LLaVA-NeXT under compression."""
