"""Models of random weights in given shapes, and inputs of the size that they are asked about."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from apet.app.known.models import configuration_of

_FRAMES = 8


def build(
    settings: dict[str, Any],
    device: str = "cuda",
    dtype: torch.dtype = torch.bfloat16,
    attention: str = "sdpa",
) -> Any:
    """A model of random weights, made on the device; speed does not depend on the weights."""
    from transformers import AutoModelForImageTextToText

    with torch.device(device):
        model = AutoModelForImageTextToText.from_config(
            configuration_of(settings), dtype=dtype, attn_implementation=attention
        )
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    return model.eval()


def inputs(model: Any, batch: int, words: int = 64, side: int = 36) -> dict[str, Tensor]:
    """One picture or clip of noise and so many words per row.

    Args:
        model: A model of `build`.
        batch: Rows.
        words: Text tokens of each.
        side: Visual tokens along a side of the picture, where any size goes. LLaVA-NeXT's picture is four
            tiles large, Video-LLaVA's clip has 8 frames.
    """
    given = _pixels(model, batch, side)
    count, placeholder = given.pop("count"), given.pop("placeholder")
    text = torch.randint(1, 50, (batch, words), device=model.device)
    visual = torch.full((batch, count), placeholder, device=model.device)
    ids = torch.cat((text[:, :1], visual, text[:, 1:]), dim=1)
    if "qwen" in model.config.model_type:
        given["mm_token_type_ids"] = (ids == placeholder).int()
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), **given}


def _pixels(model: Any, batch: int, side: int) -> dict[str, Any]:
    config, device = model.config, model.device
    vision, kind = config.vision_config, config.model_type
    noise = {"device": device, "dtype": model.dtype}
    if "qwen" in kind:
        patches = side * vision.spatial_merge_size
        values = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
        return {
            "image_grid_thw": torch.tensor([[1, patches, patches]] * batch, device=device),
            "pixel_values": torch.randn(batch * patches * patches, values, **noise),
            "placeholder": config.image_token_id,
            "count": side * side,
        }
    size = vision.image_size
    grid = size // vision.patch_size
    if kind == "video_llava":
        return {
            "pixel_values_videos": torch.randn(batch, _FRAMES, 3, size, size, **noise),
            "placeholder": config.video_token_index,
            "count": _FRAMES * (grid**2 + 1),
        }
    given = {"placeholder": config.image_token_index, "count": grid**2}
    if kind == "llava_next":
        # A base tile and 2 x 2 others, with a newline token behind each row of these.
        given["image_sizes"] = torch.tensor([[2 * size, 2 * size]] * batch, device=device)
        given["pixel_values"] = torch.randn(batch, 5, 3, size, size, **noise)
        return {**given, "count": grid**2 + 2 * grid * (2 * grid + 1)}
    return {**given, "pixel_values": torch.randn(batch, 3, size, size, **noise)}
