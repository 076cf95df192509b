"""Tiny Liquid models, with attention alone and with short convolutions among it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers

from tests.hf.families.enclosed import named_if_several
from tests.hf.families.qwen import IDS, grid_pieces
from tests.hf.families.recipe import (
    IMAGE,
    IMAGES,
    PLAIN_TEXT,
    VIDEOS,
    VISION,
    Piece,
    Recipe,
    concatenated,
    finished,
)

ATTENTION = ["full_attention"] * 4
MIXED = ["conv", "full_attention", "conv", "full_attention"]


def _lfm2(kinds: list[str]) -> Callable[[str], Any]:
    def build(attention: str) -> Any:
        vision = {name: value for name, value in VISION.items() if name != "image_size"}
        config = transformers.Lfm2VlConfig(
            vision_config=vision
            | {"model_type": "siglip2_vision_model", "num_patches": 36, "vision_use_head": False},
            text_config=PLAIN_TEXT | {"model_type": "lfm2", "layer_types": kinds},
            image_token_id=IMAGE,
            projector_hidden_size=64,
        )
        return finished(transformers.Lfm2VlForConditionalGeneration, config, attention)

    return build


def _image(*sizes: tuple[int, int]) -> Callable[[torch.Generator], Piece]:
    """An image of tiles of these sizes in patches."""

    def piece(generator: torch.Generator) -> Piece:
        counts = [height * width for height, width in sizes]
        real = torch.arange(36)[None] < torch.tensor(counts)[:, None]  # padded to the most patches
        return Piece(
            named_if_several([[IMAGE] * (count // 4) for count in counts]),
            {
                "pixel_values": torch.randn(len(sizes), 36, 3 * 4 * 4, generator=generator) * real[..., None],
                "spatial_shapes": torch.tensor(sizes),
                "pixel_attention_mask": real.long(),
            },
        )

    return piece


def _lfm3(kinds: list[str]) -> Callable[[str], Any]:
    def build(attention: str) -> Any:
        config = transformers.Lfm3VlConfig(
            vision_config={
                "hidden_size": 32,
                "intermediate_size": 64,
                "patch_size": 4,
                "spatial_merge_size": 2,
                "temporal_patch_size": 2,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "num_key_value_heads": 2,
                "layer_types": ["conv", "full_attention"],
            },
            text_config=PLAIN_TEXT | {"model_type": "lfm3", "layer_types": kinds},
            projector_hidden_size=64,
            **IDS,
        )
        return finished(transformers.Lfm3VlForConditionalGeneration, config, attention)

    return build


PIECES = {"i": _image((6, 6)), "j": _image((4, 6), (4, 6), (4, 8))}
EVEN: dict[str, list[list[str | int]]] = {"rows of one length": [["i", 34], ["j", 3]]}
"""Nothing is padded until stage 1 drops more of one row than of the other."""
PROMPTS = IMAGES | VIDEOS

RECIPES = (
    Recipe("lfm2_vl", _lfm2(ATTENTION), PIECES, concatenated, IMAGES),
    Recipe("lfm2_vl mixed", _lfm2(MIXED), PIECES, concatenated, IMAGES | EVEN, short=True),
    Recipe("lfm3_vl", _lfm3(ATTENTION), grid_pieces(runs=False), concatenated, PROMPTS),
    Recipe("lfm3_vl mixed", _lfm3(MIXED), grid_pieces(runs=False), concatenated, PROMPTS, short=True),
)
