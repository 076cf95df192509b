"""Tiny thinkers of Qwen's omni models; their audio is not compressed."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from torch import Tensor

from tests.hf.families.qwen import QWEN_TEXT, ROPE, grid_pieces
from tests.hf.families.qwen_next import EXPERTS, VISION
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

AUDIO = {"d_model": 32, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 32}
SPEECH = 59
"""The id of audio tokens; there are none in the tests."""


def _qwen2_5(attention: str) -> Any:
    config = transformers.Qwen2_5OmniThinkerConfig(
        audio_config=AUDIO | {"output_dim": 64},
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
        },
        text_config=QWEN_TEXT,
        vision_start_token_id=START,
        vision_end_token_id=END,
        audio_token_index=SPEECH,
        image_token_index=IMAGE,
        video_token_index=VIDEO,
    )
    return finished(transformers.Qwen2_5OmniThinkerForConditionalGeneration, config, attention)


def _qwen3(attention: str) -> Any:
    config = transformers.Qwen3OmniMoeThinkerConfig(
        audio_config=AUDIO | {"output_dim": 64, "downsample_hidden_size": 16},
        vision_config=VISION | {"depth": 3, "deepstack_visual_indexes": [0, 1], "image_size": 32},
        text_config=TEXT
        | EXPERTS
        | {"num_hidden_layers": 5, "rope_parameters": ROPE | {"mrope_interleaved": True}},
        vision_start_token_id=START,
        vision_end_token_id=END,
        audio_token_id=SPEECH,
        image_token_id=IMAGE,
        video_token_id=VIDEO,
    )
    return finished(transformers.Qwen3OmniMoeThinkerForConditionalGeneration, config, attention, 3.0)


def _timed(inputs: dict[str, Tensor], pieces: list[Piece]) -> dict[str, Tensor]:
    inputs = concatenated(inputs, pieces)
    if "video_grid_thw" in inputs:
        inputs["video_second_per_grid"] = torch.ones(len(inputs["video_grid_thw"]))
    return inputs


PIECES = grid_pieces(runs=False)

RECIPES = (
    Recipe("qwen2_5_omni_thinker", _qwen2_5, PIECES, _timed, IMAGES | VIDEOS),
    Recipe("qwen3_omni_moe_thinker", _qwen3, PIECES, _timed, IMAGES | VIDEOS, layer=3),
)
