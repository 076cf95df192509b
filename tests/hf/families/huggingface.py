"""Tiny Idefics and SmolVLM models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers import LlamaConfig, MistralConfig

from tests.hf.families.enclosed import alike, view_last
from tests.hf.families.recipe import IMAGE, IMAGES, TEXT, VISION, Piece, Recipe, finished, tiles

TOWER = {"vision_config": VISION, "image_token_id": IMAGE}


def _idefics2(attention: str) -> Any:
    perceiver = {
        "hidden_size": 64,
        "resampler_n_latents": 9,
        "resampler_depth": 2,
        "resampler_n_heads": 2,
        "resampler_head_dim": 16,
        "num_key_value_heads": 2,
    }
    text = MistralConfig(**TEXT, sliding_window=None)
    config = transformers.Idefics2Config(**TOWER, perceiver_config=perceiver, text_config=text)
    model = finished(transformers.Idefics2ForConditionalGeneration, config, attention)
    with torch.no_grad():
        model.model.connector.perceiver_resampler.latents.normal_()  # they start as all ones
    return model


def _idefics3(attention: str) -> Any:
    config = transformers.Idefics3Config(**TOWER, text_config=LlamaConfig(**TEXT), scale_factor=2)
    return finished(transformers.Idefics3ForConditionalGeneration, config, attention)


def _smolvlm(attention: str) -> Any:
    config = transformers.SmolVLMConfig(**TOWER, text_config=LlamaConfig(**TEXT), scale_factor=2)
    return finished(transformers.SmolVLMForConditionalGeneration, config, attention)


def stacked(
    tokens: int, *, marks: bool = False, fine: bool = False
) -> Callable[[dict[str, Tensor], list[Piece]], dict[str, Tensor]]:
    """Tiles of so many tokens in one tensor ``(rows, most tiles, ..)``, padded with zeros.

    Args:
        tokens: Visual tokens of a tile.
        marks: Whether a mask tells real tiles.
        fine: Whether the fine route is asked for.
    """

    def finish(inputs: dict[str, Tensor], pieces: list[Piece]) -> dict[str, Tensor]:
        if not pieces:
            return inputs
        counts = (inputs["input_ids"] == IMAGE).sum(1) // tokens
        real = torch.arange(int(counts.max())) < counts[:, None]
        pixels = torch.zeros(*real.shape, 3, 24, 24)
        pixels[real] = torch.cat([piece.tensors["pixel_values"] for piece in pieces])
        inputs = inputs | {"pixel_values": pixels}
        if marks:
            inputs["pixel_attention_mask"] = real
        if fine:
            inputs["tile_fine_mask"] = torch.ones(len(counts), dtype=torch.bool)
        return inputs

    return finish


NINE = {"i": tiles(1, 9, view_last), "j": tiles(4, 9, view_last)}
SPLIT = {"i": tiles(1, 9, alike), "j": tiles(5, 9, alike)}

RECIPES = (
    Recipe("idefics2", _idefics2, SPLIT, stacked(9), IMAGES),
    Recipe("idefics3", _idefics3, NINE, stacked(9), IMAGES),
    Recipe("smolvlm", _smolvlm, NINE, stacked(9), IMAGES),
)
