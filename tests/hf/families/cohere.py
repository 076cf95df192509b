"""Tiny Cohere models with vision; only the last of their four decoder layers has no window."""

from __future__ import annotations

from typing import Any

import transformers
from transformers import SiglipVisionConfig

from tests.hf.families.enclosed import broken, named
from tests.hf.families.qwen import IDS, ROPE, grid_pieces, typed
from tests.hf.families.recipe import (
    IMAGE,
    IMAGES,
    PLAIN_TEXT,
    TEXT,
    VIDEOS,
    VISION,
    Recipe,
    concatenated,
    finished,
    tiles,
)


def _text() -> Any:
    return transformers.Cohere2Config(**TEXT, sliding_window=512, logit_scale=1.0)


def _aya_vision(attention: str) -> Any:
    config = transformers.AyaVisionConfig(
        vision_config=SiglipVisionConfig(**VISION, vision_use_head=False),
        text_config=_text(),
        image_token_index=IMAGE,
    )
    return finished(transformers.AyaVisionForConditionalGeneration, config, attention)


def _cohere2_vision(attention: str) -> Any:
    config = transformers.Cohere2VisionConfig(
        vision_config=SiglipVisionConfig(**VISION, vision_use_head=False),
        text_config=_text(),
        image_token_id=IMAGE,
        alignment_intermediate_size=128,
    )
    return finished(transformers.Cohere2VisionForConditionalGeneration, config, attention)


def _compass(attention: str) -> Any:
    rope = ROPE | {"mrope_section": [2, 3, 3]}
    config = transformers.CohereCompassConfig(
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
        text_config=PLAIN_TEXT
        | {
            "num_hidden_layers": 5,
            "logit_scale": 1.0,
            "sliding_window": 512,
            "layer_types": ["sliding_attention", "full_attention"] * 2 + ["full_attention"],
            "rope_parameters": {"sliding_attention": rope, "full_attention": None},
        },
        **IDS,
    )
    return finished(transformers.CohereCompassForConditionalGeneration, config, attention, 3.0)


NAMED = {"i": tiles(1, 9, named), "j": tiles(3, 9, named)}
BROKEN = {"i": tiles(1, 9, broken), "j": tiles(3, 9, broken)}

RECIPES = (
    Recipe("aya_vision", _aya_vision, NAMED, concatenated, IMAGES),
    Recipe("cohere2_vision", _cohere2_vision, BROKEN, concatenated, IMAGES),
    Recipe("cohere_compass", _compass, grid_pieces(runs=True), typed, IMAGES | VIDEOS, layer=3),
)
