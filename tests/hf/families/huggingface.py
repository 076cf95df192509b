"""Tiny Idefics and SmolVLM models, and Granite for Docling, whose inputs have the same form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers import LlamaConfig, MistralConfig

from tests.hf.families.recipe import IMAGE, IMAGES, PLAIN_TEXT, TEXT, VISION, Piece, Recipe, finished, tiles

TOWER = {"vision_config": VISION, "image_token_id": IMAGE}
GRANITE_TEXT = PLAIN_TEXT | {
    "embedding_multiplier": 1.0,
    "residual_multiplier": 1.0,
    "attention_multiplier": 0.25,
    "logits_scaling": 1.0,
}


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


def _granite_docling(attention: str) -> Any:
    vision = {"out_hidden_size": 64, "scale_factor": 2, "deepstack_visual_indexes": [0, 1]}
    config = transformers.GraniteDoclingConfig(
        vision_config=VISION | vision, text_config=GRANITE_TEXT, image_token_id=IMAGE, pad_token_id=0
    )
    return finished(transformers.GraniteDoclingForConditionalGeneration, config, attention)


def _stacked(
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


NINE = {"i": tiles(2, 9), "j": tiles(3, 9)}
FINE = {"i": tiles(1, 36), "j": tiles(2, 36)}

RECIPES = (
    Recipe("idefics2", _idefics2, NINE, _stacked(9), IMAGES),
    Recipe("idefics3", _idefics3, NINE, _stacked(9), IMAGES),
    Recipe("smolvlm", _smolvlm, NINE, _stacked(9), IMAGES),
    Recipe("granite_docling", _granite_docling, NINE, _stacked(9, marks=True), IMAGES),
    Recipe("granite_docling fine", _granite_docling, FINE, _stacked(36, marks=True, fine=True), IMAGES),
)
