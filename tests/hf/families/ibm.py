"""Tiny Granite models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers
from transformers import SiglipVisionConfig

from tests.hf.families.enclosed import first_named
from tests.hf.families.huggingface import stacked
from tests.hf.families.llava import PINPOINTS
from tests.hf.families.recipe import (
    IMAGE,
    IMAGES,
    PLAIN_TEXT,
    VISION,
    Piece,
    Recipe,
    concatenated,
    finished,
    tiles,
)

TEXT = PLAIN_TEXT | {
    "embedding_multiplier": 1.0,
    "residual_multiplier": 1.0,
    "attention_multiplier": 0.25,
    "logits_scaling": 1.0,
}


def _docling(attention: str) -> Any:
    vision = {"out_hidden_size": 64, "scale_factor": 2, "deepstack_visual_indexes": [0, 1]}
    config = transformers.GraniteDoclingConfig(
        vision_config=VISION | vision,
        text_config=TEXT,
        image_token_id=IMAGE,
        pad_token_id=0,
    )
    return finished(transformers.GraniteDoclingForConditionalGeneration, config, attention)


def _vision4(attention: str) -> Any:
    config = transformers.Granite4VisionConfig(
        vision_config=SiglipVisionConfig(**VISION | {"hidden_size": 64}, vision_use_head=False),
        text_config=TEXT | {"num_hidden_layers": 5},
        qformer_config={
            "model_type": "blip_2_qformer",
            "num_hidden_layers": 1,
            "cross_attention_frequency": 1,
            "intermediate_size": 64,
        },
        image_token_index=IMAGE,
        image_grid_pinpoints=PINPOINTS,
        vision_feature_select_strategy="full",
        downsample_rate="1/2",
        deepstack_layer_map=[[0, 1], [1, 0]],
        spatial_vision_layer=-1,
        spatial_target_layers=[2, 2, 2, 2],
    )
    model = finished(transformers.Granite4VisionForConditionalGeneration, config, attention, 3.0)
    with torch.no_grad():
        model.model.image_newline.normal_()
        for name, parameter in model.named_parameters():
            if name.endswith((".query", ".image_positions")):
                parameter.normal_()
    return model


def _packed(height: int, width: int, rows: int, columns: int) -> Callable[[torch.Generator], Piece]:
    """An image of this size: a base tile, and a grid of tiles with a newline behind every row of it."""

    def piece(generator: torch.Generator) -> Piece:
        count = 1 + (height // 24) * (width // 24)
        pixels = torch.zeros(1, 5, 3, 24, 24)  # padded to the most tiles
        pixels[0, :count] = torch.randn(count, 3, 24, 24, generator=generator)
        size = torch.tensor([[height, width]])
        return Piece([IMAGE] * (9 + rows * (columns + 1)), {"pixel_values": pixels, "image_sizes": size})

    return piece


NINE = {"i": tiles(1, 9, first_named), "j": tiles(3, 9, first_named)}
FINE = {"i": tiles(1, 36, first_named), "j": tiles(3, 36, first_named)}

RECIPES = (
    Recipe(
        "granite4_vision",
        _vision4,
        {"i": _packed(24, 48, 3, 6), "j": _packed(48, 48, 6, 6)},
        concatenated,
        IMAGES,
        layer=3,
    ),
    Recipe("granite_docling", _docling, NINE, stacked(9, marks=True), IMAGES),
    Recipe("granite_docling fine", _docling, FINE, stacked(36, marks=True, fine=True), IMAGES),
)
