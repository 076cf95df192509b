"""Tiny Muse models; some of their layers have no rotary positions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers

from tests.hf.families.recipe import (
    END,
    IMAGE,
    IMAGES,
    START,
    TEXT,
    VIDEO,
    VIDEOS,
    Piece,
    Recipe,
    concatenated,
    finished,
)

VISION: dict[str, Any] = {
    "patch_size": 4,
    "pos_emb_height": 4,
    "pos_emb_width": 4,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "hidden_size": 32,
    "intermediate_size": 64,
    "patch_temporal": 2,
    "merge_size": 2,
}
LAYERS = {
    "sliding_window": 512,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
    "layer_rope_theta": [10000.0, 0.0] * 2,
    "qk_scale_factor": 1.0,
    "output_multiplier": 1.0,
}
TOP = {
    "vision_config": VISION,
    "image_token_id": IMAGE,
    "video_token_id": VIDEO,
    "out_hidden_size": 4 * 32,
    "projector_hidden_size": 32,
}


def _glimmer(attention: str) -> Any:
    config = transformers.MuseGlimmerConfig(text_config=TEXT | LAYERS, **TOP)
    return finished(transformers.MuseGlimmerForConditionalGeneration, config, attention, 3.0)


def _spark(attention: str) -> Any:
    experts = {
        "moe_intermediate_size": 32,
        "moe_hidden_size": 32,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
    }
    audio = {"hidden_sizes": [8, 8, 8, 8], "depths": [1, 1, 1, 1], "out_hidden_size": 64}
    config = transformers.MuseSparkConfig(
        text_config=TEXT | LAYERS | experts, audio_config=audio, audio_token_id=59, **TOP
    )
    return finished(transformers.MuseSparkForConditionalGeneration, config, attention, 3.0)


def _grid(frames: int, height: int, width: int, *, video: bool = False) -> Callable[[torch.Generator], Piece]:
    def piece(generator: torch.Generator) -> Piece:
        frame = [START, *[VIDEO if video else IMAGE] * (height * width // 4), END]
        pixels = torch.randn(frames * height * width, 2 * 3 * 4 * 4, generator=generator)
        grid = torch.tensor([[frames, height, width]])
        if video:
            return Piece(frame * frames, {"pixel_values_videos": pixels, "video_grid_thw": grid})
        return Piece(frame, {"pixel_values": pixels, "image_grid_thw": grid})

    return piece


PIECES = {
    "i": _grid(1, 8, 8),
    "j": _grid(1, 8, 12),
    "v": _grid(2, 8, 8, video=True),
}

RECIPES = (
    Recipe("muse_glimmer", _glimmer, PIECES, concatenated, IMAGES | VIDEOS),
    Recipe("muse_spark", _spark, PIECES, concatenated, IMAGES | VIDEOS),
)
