"""Tiny models of families that are the only one of their maker: Ovis, HyperCLOVA X."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers

from tests.hf.families.enclosed import GRID, STOP, gridded
from tests.hf.families.qwen import grid_pieces
from tests.hf.families.recipe import (
    END,
    IMAGE,
    IMAGES,
    PLAIN_TEXT,
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
)

Make = Callable[[torch.Generator], Piece]
BREAK = 59
"""A token between parts of an image; random text never has it."""


def _ovis2(attention: str) -> Any:
    config = transformers.Ovis2Config(
        vision_config=VISION | {"vocab_size": 32, "hidden_stride": 2, "num_visual_indicator_tokens": 4},
        text_config=PLAIN_TEXT | {"model_type": "qwen2"},
        image_token_id=IMAGE,
        visual_indicator_token_ids=[START, END, GRID, STOP],
        vocab_size=TEXT["vocab_size"],
        hidden_size=TEXT["hidden_size"],
    )
    return finished(transformers.Ovis2ForConditionalGeneration, config, attention)


def _ovis2_image(tiles: int) -> Make:
    def piece(generator: torch.Generator) -> Piece:
        pixels = torch.randn(tiles, 3, 24, 24, generator=generator)
        return Piece(gridded([[IMAGE] * 9] * tiles), {"pixel_values": pixels})

    return piece


def _hyperclovax(attention: str) -> Any:
    config = transformers.HyperCLOVAXVisionV2Config(
        vision_config={
            "model_type": "qwen2_5_vl_vision",
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "patch_size": 4,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "out_hidden_size": 32,
            "window_size": 16,
            "fullatt_block_indexes": [1],
        },
        text_config=TEXT | {"model_type": "hyperclovax"},
        image_token_id=IMAGE,
        video_token_id=VIDEO,
    )
    return finished(transformers.HyperCLOVAXVisionV2ForConditionalGeneration, config, attention)


def _fuyu(attention: str) -> Any:
    text = {name: value for name, value in PLAIN_TEXT.items() if name != "num_key_value_heads"}
    config = transformers.FuyuConfig(
        text_config=text | {"model_type": "persimmon"}, patch_size=4, image_size=24, image_token_id=IMAGE
    )
    return finished(transformers.FuyuForCausalLM, config, attention)


def _fuyu_patches(generator: torch.Generator) -> Piece:
    """Rows of 3 x 4 patches with a newline behind each."""
    return Piece(
        ([IMAGE] * 4 + [BREAK]) * 3, {"pixel_values": torch.randn(1, 12, 3 * 4 * 4, generator=generator)}
    )


RECIPES = (
    Recipe("fuyu", _fuyu, {"i": _fuyu_patches}, concatenated, SAME),
    Recipe("hyperclovax_vision_v2", _hyperclovax, grid_pieces(runs=False), concatenated, IMAGES | VIDEOS),
    Recipe("ovis2", _ovis2, {"i": _ovis2_image(1), "j": _ovis2_image(3)}, concatenated, IMAGES),
)
