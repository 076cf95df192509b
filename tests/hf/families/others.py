"""Tiny models of families that are the only one of their maker: Ovis, LFM, MiniCPM-V."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers
from torch import Tensor

from tests.hf.families.recipe import (
    END,
    IMAGE,
    IMAGES,
    PLAIN_TEXT,
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
        vision_config=VISION | {"vocab_size": 32, "hidden_stride": 2, "num_visual_indicator_tokens": 3},
        text_config=PLAIN_TEXT | {"model_type": "qwen2"},
        image_token_id=IMAGE,
        visual_indicator_token_ids=[START, BREAK, END],
        vocab_size=TEXT["vocab_size"],
        hidden_size=TEXT["hidden_size"],
    )
    return finished(transformers.Ovis2ForConditionalGeneration, config, attention)


def _ovis2_image(tiles: int) -> Make:
    def piece(generator: torch.Generator) -> Piece:
        pixels = torch.randn(tiles, 3, 24, 24, generator=generator)
        ids = [IMAGE] * 9
        return Piece([START, *ids, *[BREAK, *ids] * (tiles - 1), END], {"pixel_values": pixels})

    return piece


def _lfm2(*kinds: str) -> Callable[[str], Any]:
    def build(attention: str) -> Any:
        vision = {name: value for name, value in VISION.items() if name != "image_size"}
        config = transformers.Lfm2VlConfig(
            vision_config=vision
            | {"model_type": "siglip2_vision_model", "num_patches": 36, "vision_use_head": False},
            text_config=PLAIN_TEXT | {"model_type": "lfm2", "layer_types": list(kinds)},
            image_token_id=IMAGE,
            projector_hidden_size=64,
        )
        return finished(transformers.Lfm2VlForConditionalGeneration, config, attention)

    return build


def _lfm2_image(height: int, width: int) -> Make:
    def piece(generator: torch.Generator) -> Piece:
        real = torch.arange(36)[None] < height * width  # padded to the most patches
        return Piece(
            [START, *[IMAGE] * (height * width // 4), END],
            {
                "pixel_values": torch.randn(1, 36, 3 * 4 * 4, generator=generator) * real[..., None],
                "spatial_shapes": torch.tensor([[height, width]]),
                "pixel_attention_mask": real.long(),
            },
        )

    return piece


def _minicpm(*kinds: str) -> Callable[[str], Any]:
    def build(attention: str) -> Any:
        rope = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 1.0}
        config = transformers.MiniCPMV4_6Config(
            vision_config=VISION | {"image_size": 48},
            text_config=TEXT
            | {
                "model_type": "qwen3_5_text",
                "layer_types": list(kinds),
                "rope_parameters": rope | {"mrope_section": [2, 3, 3]},
                "linear_key_head_dim": 16,
                "linear_value_head_dim": 16,
                "linear_num_key_heads": 2,
                "linear_num_value_heads": 4,
            },
            insert_layer_id=0,
            image_token_id=IMAGE,
            video_token_id=VIDEO,
        )
        return finished(transformers.MiniCPMV4_6ForConditionalGeneration, config, attention)

    return build


def _minicpm_grids(*sizes: tuple[int, int], video: bool = False) -> Make:
    """Grids of patches, merged four by four: an image, or the frames of a video."""

    def piece(generator: torch.Generator) -> Piece:
        patches = sum(height * width for height, width in sizes)
        pixels = torch.randn(1, 3, 4, 4 * patches, generator=generator)
        ids = [VIDEO if video else IMAGE]
        end = "_videos" if video else ""
        return Piece(
            [token for height, width in sizes for token in [START, *ids * (height * width // 16), END]],
            {f"pixel_values{end}": pixels, f"target_sizes{end}": torch.tensor(sizes)},
        )

    return piece


def _in_one_row(inputs: dict[str, Tensor], pieces: list[Piece]) -> dict[str, Tensor]:
    """Pixels of all images, or of all frames, one behind the other in the last dimension."""

    def joined(name: str) -> Tensor:
        tensors = [piece.tensors[name] for piece in pieces if name in piece.tensors]
        return torch.cat(tensors, dim=-1 if name.startswith("pixel") else 0)

    return inputs | {name: joined(name) for piece in pieces for name in piece.tensors}


_LFM2_IMAGES = {"i": _lfm2_image(6, 6), "j": _lfm2_image(4, 8)}
_MINICPM = {
    "i": _minicpm_grids((12, 12)),
    "j": _minicpm_grids((8, 16)),
    "v": _minicpm_grids((12, 12), (12, 12), video=True),
}
_ATTENTION = ["full_attention"] * 4

RECIPES = (
    Recipe("lfm2_vl", _lfm2(*_ATTENTION), _LFM2_IMAGES, concatenated, IMAGES),
    Recipe("minicpmv4_6", _minicpm(*_ATTENTION), _MINICPM, _in_one_row, IMAGES | VIDEOS),
    Recipe("ovis2", _ovis2, {"i": _ovis2_image(1), "j": _ovis2_image(2)}, concatenated, IMAGES),
)
