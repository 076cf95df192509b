"""Tiny Llama 4 and Perception LM."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from transformers import CLIPVisionConfig, LlamaConfig

from tests.hf.families.enclosed import separated
from tests.hf.families.recipe import (
    END,
    IMAGE,
    IMAGES,
    SAME,
    START,
    TEXT,
    VIDEO,
    VIDEOS,
    VISION,
    Piece,
    Recipe,
    concatenated,
    finished,
    tiles,
)

ROPE = {"rope_type": "default", "rope_theta": 10000.0}


def _llama4(attention: str) -> Any:
    config = transformers.Llama4Config(
        vision_config=VISION
        | {
            "intermediate_size": 128,  # four patches of 32
            "projector_input_dim": 64,
            "projector_output_dim": 64,
            "vision_output_dim": 64,
            "rope_parameters": ROPE,
        },
        text_config=TEXT
        | {
            "intermediate_size_mlp": 128,
            "num_local_experts": 2,
            "interleave_moe_layer_step": 2,
            "attention_chunk_size": 512,
            "rope_parameters": ROPE,
        },
        image_token_index=IMAGE,
        boi_token_index=START,
        eoi_token_index=END,
    )
    return finished(transformers.Llama4ForConditionalGeneration, config, attention)


def _perception_lm(attention: str) -> Any:
    # The checkpoints' tower is one of timm's; any with a class token does for the tests.
    config = transformers.PerceptionLMConfig(
        vision_config=CLIPVisionConfig(**VISION, model_args={"embed_dim": VISION["hidden_size"]}),
        text_config=LlamaConfig(**TEXT),
        vision_use_cls_token=True,
        projector_pooling_ratio=2,
        image_token_id=IMAGE,
        video_token_id=VIDEO,
    )
    return finished(transformers.PerceptionLMForConditionalGeneration, config, attention)


def _image(generator: torch.Generator) -> Piece:
    pixels = torch.randn(1, 2, 3, 24, 24, generator=generator)  # two tiles
    return Piece([IMAGE] * (2 * 9), {"pixel_values": pixels})


def _video(generator: torch.Generator) -> Piece:
    pixels = torch.randn(1, 3, 3, 24, 24, generator=generator)  # three frames
    return Piece([VIDEO] * (3 * 9), {"pixel_values_videos": pixels})


TILES = {"i": tiles(1, 9, separated), "j": tiles(3, 9, separated)}

RECIPES = (
    Recipe("llama4", _llama4, TILES, concatenated, IMAGES, broken=("5.24.0",)),
    Recipe("perception_lm", _perception_lm, {"i": _image, "v": _video}, concatenated, SAME | VIDEOS),
)
