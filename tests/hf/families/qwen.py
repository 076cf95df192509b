"""Tiny Qwen models with vision, and those that are built as they are."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.hf.families.build import (
    AROUND,
    DEEP,
    EXPERTS,
    FULL,
    GRID,
    IDS,
    INTERLEAVED,
    MROPE,
    MROPE_TEXT,
    PLACEHOLDERS,
    PLAIN_TEXT,
    POSITIONED,
    TEXT,
    VISION,
    WINDOWED,
    tiny,
    without,
)
from tests.hf.families.pieces import PATCH, concatenated, grids, timed, typed
from tests.hf.families.recipe import EVEN, IMAGE, IMAGES, VIDEO, VIDEOS, Piece, Recipe

LINEAR = {
    "layer_types": ["linear_attention", "full_attention"] * 2,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "rope_parameters": MROPE | {"mrope_section": [2, 1, 1], "partial_rotary_factor": 0.5},
}
AUDIO = {
    "d_model": 32,
    "encoder_layers": 1,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "output_dim": 64,
}
SPEECH = 59
"""The id of audio tokens; there are none in the tests."""
COMPASS = PLAIN_TEXT | {
    "num_hidden_layers": 5,
    "logit_scale": 1.0,
    "sliding_window": 512,
    "layer_types": ["sliding_attention", "full_attention"] * 2 + ["full_attention"],
    "rope_parameters": {"sliding_attention": MROPE, "full_attention": None},
}


def _each_second(inputs: dict[str, Tensor], pieces: list[Piece]) -> dict[str, Tensor]:
    inputs = concatenated(inputs, pieces)
    if "video_grid_thw" in inputs:
        inputs["video_second_per_grid"] = torch.ones(len(inputs["video_grid_thw"]))
    return inputs


WHOLE, FRAMES = grids(), grids(timed)
PROMPTS = IMAGES | VIDEOS

RECIPES = (
    Recipe(
        "qwen2_vl",
        tiny(
            "Qwen2VL",
            without(GRID, "intermediate_size", "out_hidden_size")
            | {"embed_dim": 32, "hidden_size": 64, "mlp_ratio": 2},
            MROPE_TEXT,
            **IDS,
        ),
        WHOLE,
        typed,
        PROMPTS,
    ),
    Recipe(
        "qwen2_5_vl",
        tiny("Qwen2_5_VL", WINDOWED | {"tokens_per_second": 2}, MROPE_TEXT, **IDS),
        WHOLE,
        typed,
        PROMPTS,
    ),
    Recipe(
        "qwen3_vl",
        tiny("Qwen3VL", DEEP, TEXT | INTERLEAVED, scale=3.0, **IDS),
        FRAMES,
        typed,
        PROMPTS,
        layer=3,
    ),
    Recipe(
        "qwen3_vl_moe",
        tiny("Qwen3VLMoe", DEEP, TEXT | EXPERTS | INTERLEAVED, scale=3.0, **IDS),
        FRAMES,
        typed,
        PROMPTS,
        layer=3,
    ),
    Recipe(
        "qwen3_5",
        tiny("Qwen3_5", POSITIONED, TEXT | LINEAR, scale=3.0, **IDS),
        FRAMES,
        typed,
        PROMPTS | EVEN,
        short=True,
    ),
    Recipe(
        "qwen3_5_moe",
        tiny(
            "Qwen3_5Moe",
            POSITIONED,
            TEXT | EXPERTS | LINEAR | {"shared_expert_intermediate_size": 32},
            scale=3.0,
            **IDS,
        ),
        FRAMES,
        typed,
        PROMPTS | EVEN,
        short=True,
    ),
    Recipe(
        "qwen2_5_omni_thinker",  # audio is not compressed
        tiny(
            "Qwen2_5OmniThinker",
            WINDOWED,
            MROPE_TEXT,
            audio_config=AUDIO,
            audio_token_index=SPEECH,
            image_token_index=IMAGE,
            video_token_index=VIDEO,
            **AROUND,
        ),
        WHOLE,
        _each_second,
        PROMPTS,
    ),
    Recipe(
        "qwen3_omni_moe_thinker",
        tiny(
            "Qwen3OmniMoeThinker",
            DEEP | {"image_size": 32},
            TEXT | EXPERTS | INTERLEAVED,
            audio_config=AUDIO | {"downsample_hidden_size": 16},
            audio_token_id=SPEECH,
            scale=3.0,
            **IDS,
        ),
        WHOLE,
        _each_second,
        PROMPTS,
        layer=3,
    ),
    Recipe(
        "cosmos3_omni",
        tiny(
            "Cosmos3Omni",
            DEEP | {"model_type": "qwen3_vl_vision"},
            TEXT | INTERLEAVED | {"model_type": "qwen3_vl_text"},
            scale=3.0,
            **IDS,
        ),
        FRAMES,
        typed,
        PROMPTS,
        layer=3,
    ),
    Recipe(
        "cosmos3_edge",
        tiny(
            "Cosmos3Edge",
            without(VISION, "image_size") | {"num_patches": 64, "spatial_merge_size": 2},
            MROPE_TEXT | {"head_dim": 16},
            projector_hidden_size=128,
            scale=3.0,
            **IDS,
        ),
        grids(timed, shape=PATCH),
        typed,
        PROMPTS,
    ),
    Recipe(
        "cohere_compass",
        tiny("CohereCompass", DEEP, COMPASS, scale=3.0, **IDS),
        FRAMES,
        typed,
        PROMPTS,
        layer=3,
    ),
    Recipe(
        "exaone4_5",
        tiny(
            "Exaone4_5_",
            WINDOWED | {"num_key_value_heads": 1},
            # stage 2 takes no static cache of a sliding window
            TEXT | FULL | {"model_type": "exaone4", "sliding_window": None},
            **PLACEHOLDERS,
        ),
        WHOLE,
        concatenated,
        PROMPTS,
    ),
    Recipe(
        "hyperclovax_vision_v2",
        tiny(
            "HyperCLOVAXVisionV2",
            WINDOWED | {"model_type": "qwen2_5_vl_vision", "out_hidden_size": 32},
            TEXT | {"model_type": "hyperclovax"},
            **PLACEHOLDERS,
        ),
        WHOLE,
        concatenated,
        PROMPTS,
    ),
)
