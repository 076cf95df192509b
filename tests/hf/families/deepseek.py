"""Tiny DeepSeek models with two encoders, one of them SAM's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers
from transformers import LlamaConfig, SiglipVisionConfig

from tests.hf.families.recipe import (
    END,
    IMAGE,
    IMAGES,
    PLAIN_TEXT,
    SAME,
    START,
    TEXT,
    VISION,
    Piece,
    Recipe,
    concatenated,
    finished,
)

SAM: dict[str, Any] = {
    "hidden_size": 32,
    "output_channels": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 48,
    "patch_size": 4,
    "window_size": 4,
    "global_attn_indexes": [1],
    "mlp_dim": 64,
    "initializer_range": 0.02,
}


def _hybrid(attention: str) -> Any:
    config = transformers.DeepseekVLHybridConfig(
        vision_config=SiglipVisionConfig(**VISION, vision_use_head=False),
        high_res_vision_config=SAM | {"model_type": "sam_vision_model"},
        text_config=LlamaConfig(**TEXT),
        image_token_id=IMAGE,
    )
    return finished(transformers.DeepseekVLHybridForConditionalGeneration, config, attention, 3.0)


def _both_sizes(generator: torch.Generator) -> Piece:
    return Piece(
        [IMAGE] * 36,
        {
            "pixel_values": torch.randn(1, 3, 24, 24, generator=generator),
            "high_res_pixel_values": torch.randn(1, 3, 48, 48, generator=generator),
        },
    )


def _ocr2(attention: str) -> Any:
    config = transformers.DeepseekOcr2Config(
        vision_config={
            "sam_config": SAM | {"downsample_channels": [16, 32]},
            "encoder_config": {
                "hidden_size": 32,
                "intermediate_size": 64,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "num_key_value_heads": 2,
            },
        },
        text_config=PLAIN_TEXT
        | {
            "n_routed_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 32,
            "n_shared_experts": 1,
            "mlp_layer_types": ["dense", "sparse"] * 2,
        },
        image_token_id=IMAGE,
    )
    model = finished(transformers.DeepseekOcr2ForConditionalGeneration, config, attention, 3.0)
    tower = model.model.vision_tower  # its checkpoints have 144 and 256 queries
    with torch.no_grad():
        tower.query_768_resolution.weight = torch.nn.Parameter(torch.randn(9, 32))
        tower.query_1024_resolution.weight = torch.nn.Parameter(torch.randn(16, 32))
        model.model.view_separator.normal_()
    return model


def _views(tiles: int) -> Callable[[torch.Generator], Piece]:
    def piece(generator: torch.Generator) -> Piece:
        tensors = {
            "pixel_values": torch.randn(1, 3, 48, 48, generator=generator),
            "num_local_patches": torch.tensor([tiles]),
        }
        if tiles:
            tensors["pixel_values_local"] = torch.randn(tiles, 3, 48, 48, generator=generator)
        return Piece([START, *[IMAGE] * (9 * tiles + 9 + 1), END], tensors)

    return piece


RECIPES = (
    Recipe("deepseek_vl_hybrid", _hybrid, {"i": _both_sizes}, concatenated, SAME),
    Recipe("deepseek_ocr2", _ocr2, {"i": _views(0), "j": _views(2)}, concatenated, IMAGES),
)
