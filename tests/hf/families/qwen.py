"""Tiny Qwen models with vision."""

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
    TEXT,
    VIDEO,
    VIDEOS,
    Piece,
    Recipe,
    concatenated,
    finished,
)

IDS = {
    "image_token_id": IMAGE,
    "video_token_id": VIDEO,
    "vision_start_token_id": START,
    "vision_end_token_id": END,
}
ROPE = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0}
QWEN_TEXT = PLAIN_TEXT | {"rope_parameters": ROPE}


def _qwen2(attention: str) -> Any:
    config = transformers.Qwen2VLConfig(
        vision_config={
            "depth": 2,
            "embed_dim": 32,
            "hidden_size": 64,
            "num_heads": 2,
            "mlp_ratio": 2,
            "patch_size": 4,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
        },
        text_config=QWEN_TEXT,
        **IDS,
    )
    return finished(transformers.Qwen2VLForConditionalGeneration, config, attention)


def _qwen2_5(attention: str) -> Any:
    config = transformers.Qwen2_5_VLConfig(
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "patch_size": 4,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "out_hidden_size": 64,
            "window_size": 16,
            "fullatt_block_indexes": [1],
            "tokens_per_second": 2,
        },
        text_config=QWEN_TEXT,
        **IDS,
    )
    return finished(transformers.Qwen2_5_VLForConditionalGeneration, config, attention)


def _qwen3(attention: str) -> Any:
    config = transformers.Qwen3VLConfig(
        vision_config={
            "depth": 3,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "patch_size": 4,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "out_hidden_size": 64,
            "deepstack_visual_indexes": [0, 1],
            "num_position_embeddings": 64,
        },
        text_config=TEXT | {"num_hidden_layers": 5, "rope_parameters": ROPE | {"mrope_interleaved": True}},
        **IDS,
    )
    return finished(transformers.Qwen3VLForConditionalGeneration, config, attention, 3.0)


def grid_piece(
    frames: int, height: int, width: int, *, video: bool = False, runs: bool = False, temporal: int = 2
) -> Callable[[torch.Generator], Piece]:
    """A grid of patches.

    Args:
        frames: Frames, or pairs of them.
        height: Patches, before four are merged into one token.
        width: As height.
        video: Whether it is a video.
        runs: Puts every frame between tokens of its own, as Qwen3-VL does.
        temporal: How many frames a patch spans.
    """

    def piece(generator: torch.Generator) -> Piece:
        tokens = height * width // 4
        kind = VIDEO if video else IMAGE
        frame = [START, *[kind] * tokens, END, 5]
        ids = frame * frames if runs else [START, *[kind] * (tokens * frames), END]
        pixels = torch.randn(frames * height * width, 3 * temporal * 4 * 4, generator=generator)
        grid = torch.tensor([[frames, height, width]])
        if video:
            return Piece(ids, {"pixel_values_videos": pixels, "video_grid_thw": grid})
        return Piece(ids, {"pixel_values": pixels, "image_grid_thw": grid})

    return piece


def typed(inputs: dict[str, Tensor], pieces: list[Piece]) -> dict[str, Tensor]:
    ids = inputs["input_ids"]
    kinds = (ids == IMAGE).long() + 2 * (ids == VIDEO).long()
    return concatenated(inputs | {"mm_token_type_ids": kinds}, pieces)


def grid_pieces(*, runs: bool, temporal: int = 2) -> dict[str, Callable[[torch.Generator], Piece]]:
    return {
        "i": grid_piece(1, 8, 8, temporal=temporal),
        "j": grid_piece(1, 8, 12, temporal=temporal),
        "v": grid_piece(2, 8, 8, video=True, runs=runs, temporal=temporal),
        "w": grid_piece(3, 8, 4, video=True, runs=runs, temporal=temporal),
    }


RECIPES = (
    Recipe("qwen2_vl", _qwen2, grid_pieces(runs=False), typed, IMAGES | VIDEOS),
    Recipe("qwen2_5_vl", _qwen2_5, grid_pieces(runs=False), typed, IMAGES | VIDEOS),
    Recipe("qwen3_vl", _qwen3, grid_pieces(runs=True), typed, IMAGES | VIDEOS, layer=3),
)
