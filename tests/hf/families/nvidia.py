"""Tiny Cosmos models."""

from __future__ import annotations

from typing import Any

import transformers

from tests.hf.families.qwen import IDS, QWEN_TEXT, ROPE, grid_pieces, typed
from tests.hf.families.recipe import IMAGES, TEXT, VIDEOS, Recipe, finished


def _omni(attention: str) -> Any:
    config = transformers.Cosmos3OmniConfig(
        vision_config={
            "model_type": "qwen3_vl_vision",
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
        text_config=TEXT
        | {
            "model_type": "qwen3_vl_text",
            "num_hidden_layers": 5,
            "rope_parameters": ROPE | {"mrope_interleaved": True},
        },
        **IDS,
    )
    return finished(transformers.Cosmos3OmniForConditionalGeneration, config, attention, 3.0)


def _edge(attention: str) -> Any:
    config = transformers.Cosmos3EdgeConfig(
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "patch_size": 4,
            "num_patches": 64,
            "spatial_merge_size": 2,
        },
        text_config=QWEN_TEXT | {"head_dim": 16},
        projector_hidden_size=128,
        **IDS,
    )
    return finished(transformers.Cosmos3EdgeForConditionalGeneration, config, attention, 3.0)


RECIPES = (
    Recipe("cosmos3_omni", _omni, grid_pieces(runs=True), typed, IMAGES | VIDEOS, layer=3),
    Recipe("cosmos3_edge", _edge, grid_pieces(runs=True, temporal=1), typed, IMAGES | VIDEOS),
)
