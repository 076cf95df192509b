"""Tiny GLM models with vision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers
from torch import Tensor

from tests.hf.families.recipe import (
    END,
    IMAGE,
    IMAGES,
    PLAIN_TEXT,
    START,
    VIDEO,
    Piece,
    Recipe,
    concatenated,
    finished,
)

FIRST, LAST = 2, 59
"""Ids of tokens around a video; the tokens of its frames are those of images."""
IDS = {
    "image_token_id": IMAGE,
    "video_token_id": VIDEO,
    "image_start_token_id": START,
    "image_end_token_id": END,
    "video_start_token_id": FIRST,
    "video_end_token_id": LAST,
}
VISION: dict[str, Any] = {
    "depth": 2,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_heads": 2,
    "image_size": 24,
    "patch_size": 4,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "out_hidden_size": 64,
}
ROPE = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0}
GLM_TEXT = PLAIN_TEXT | {"rope_parameters": ROPE}
EXPERTS = {
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "first_k_dense_replace": 1,
    "rope_parameters": ROPE | {"mrope_section": [1, 1, 2], "partial_rotary_factor": 0.5},
}


def _glm4v(attention: str) -> Any:
    config = transformers.Glm4vConfig(vision_config=VISION, text_config=GLM_TEXT, **IDS)
    return finished(transformers.Glm4vForConditionalGeneration, config, attention)


def _glm4v_moe(attention: str) -> Any:
    config = transformers.Glm4vMoeConfig(vision_config=VISION, text_config=GLM_TEXT | EXPERTS, **IDS)
    return finished(transformers.Glm4vMoeForConditionalGeneration, config, attention, 3.0)


def _glm46v(config: str) -> Callable[[str], Any]:
    def build(attention: str) -> Any:
        made = getattr(transformers, config)(
            vision_config={"model_type": "glm4v_vision"} | VISION,
            text_config={"model_type": "glm4v_text"} | GLM_TEXT,
            **IDS,
        )
        return finished(transformers.Glm46VForConditionalGeneration, made, attention)

    return build


def _glm_ocr(attention: str) -> Any:
    config = transformers.GlmOcrConfig(vision_config=VISION, text_config=GLM_TEXT, **IDS)
    return finished(transformers.GlmOcrForConditionalGeneration, config, attention)


def _grid(frames: int, height: int, width: int, *, video: bool = False) -> Callable[[torch.Generator], Piece]:
    def piece(generator: torch.Generator) -> Piece:
        ids = [START, *[IMAGE] * (height * width // 4), END]
        pixels = torch.randn(frames * height * width, 3 * 2 * 4 * 4, generator=generator)
        grid = torch.tensor([[frames, height, width]])
        if video:
            ids = [FIRST, *([*ids, 5] * frames), LAST]  # every frame with its time
            return Piece(ids, {"pixel_values_videos": pixels, "video_grid_thw": grid})
        return Piece(ids, {"pixel_values": pixels, "image_grid_thw": grid})

    return piece


def _typed(inputs: dict[str, Tensor], pieces: list[Piece]) -> dict[str, Tensor]:
    ids = inputs["input_ids"]
    inside = (ids == FIRST).cumsum(1) > (ids == LAST).cumsum(1)
    kinds = (ids == IMAGE).long() * (1 + inside.long())
    return concatenated(inputs | {"mm_token_type_ids": kinds}, pieces)


PIECES = {
    "i": _grid(1, 8, 8),
    "j": _grid(1, 8, 12),
    "v": _grid(2, 8, 8, video=True),
    "w": _grid(3, 8, 4, video=True),
}
VIDEOS: dict[str, list[list[str | int]]] = {
    "video": [[2, "v", 5], [3, "v", 9]],
    "videos": [[2, "v", 1, "w", 5], [3, "w", 9]],
}
"""Images and videos share a placeholder, so transformers takes no call with both."""

RECIPES = (
    Recipe("glm4v", _glm4v, PIECES, _typed, IMAGES | VIDEOS),
    Recipe("glm4v_moe", _glm4v_moe, PIECES, _typed, IMAGES | VIDEOS),
    Recipe("glm46v", _glm46v("Glm46VConfig"), PIECES, _typed, IMAGES | VIDEOS),
    Recipe("glmga", _glm46v("GlmgaConfig"), PIECES, _typed, IMAGES | VIDEOS),
    Recipe("glm_ocr", _glm_ocr, PIECES, _typed, IMAGES | VIDEOS),
)
