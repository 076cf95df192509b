"""Tiny Qwen models with experts or linear attention."""

from __future__ import annotations

from typing import Any

import transformers

from tests.hf.families.qwen import IDS, ROPE, grid_pieces, typed
from tests.hf.families.recipe import IMAGES, TEXT, VIDEOS, Recipe, finished

VISION: dict[str, Any] = {
    "depth": 2,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_heads": 2,
    "patch_size": 4,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "out_hidden_size": 64,
    "num_position_embeddings": 64,
}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
LINEAR = {
    "layer_types": ["linear_attention", "full_attention"] * 2,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "rope_parameters": ROPE | {"mrope_section": [2, 1, 1], "partial_rotary_factor": 0.5},
}
EVEN: dict[str, list[list[str | int]]] = {"rows of one length": [["j", 5], ["i", 13]]}
"""Nothing is padded until stage 2 drops more of one row than of the other."""


def _qwen3_moe(attention: str) -> Any:
    config = transformers.Qwen3VLMoeConfig(
        vision_config=VISION | {"depth": 3, "deepstack_visual_indexes": [0, 1]},
        text_config=TEXT
        | EXPERTS
        | {"num_hidden_layers": 5, "rope_parameters": ROPE | {"mrope_interleaved": True}},
        **IDS,
    )
    return finished(transformers.Qwen3VLMoeForConditionalGeneration, config, attention, 3.0)


def _qwen3_5(attention: str) -> Any:
    config = transformers.Qwen3_5Config(vision_config=VISION, text_config=TEXT | LINEAR, **IDS)
    return finished(transformers.Qwen3_5ForConditionalGeneration, config, attention, 3.0)


def _qwen3_5_moe(attention: str) -> Any:
    text = TEXT | EXPERTS | LINEAR | {"shared_expert_intermediate_size": 32}
    config = transformers.Qwen3_5MoeConfig(vision_config=VISION, text_config=text, **IDS)
    return finished(transformers.Qwen3_5MoeForConditionalGeneration, config, attention, 3.0)


PIECES = grid_pieces(runs=True)
PROMPTS = IMAGES | VIDEOS
RECIPES = (
    Recipe("qwen3_vl_moe", _qwen3_moe, PIECES, typed, PROMPTS, layer=3),
    Recipe("qwen3_5", _qwen3_5, PIECES, typed, PROMPTS | EVEN, short=True),
    Recipe("qwen3_5_moe", _qwen3_5_moe, PIECES, typed, PROMPTS | EVEN, short=True),
)
