"""Tiny LLaVA models and their relatives."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from transformers import CLIPVisionConfig, LlamaConfig, MistralConfig, Qwen2Config, SiglipVisionConfig

from tests.hf.families.recipe import (
    IMAGE,
    IMAGES,
    PLAIN_TEXT,
    SAME,
    TEXT,
    VIDEO,
    VIDEOS,
    VISION,
    Piece,
    Recipe,
    concatenated,
    finished,
)
from tests.hf.tiny import tiny_llava

PINPOINTS = [[24, 48], [48, 24], [48, 48]]


def _llava(generator: torch.Generator) -> Piece:
    return Piece([IMAGE] * 36, {"pixel_values": torch.randn(1, 3, 24, 24, generator=generator)})


def _next(attention: str) -> Any:
    config = transformers.LlavaNextConfig(
        vision_config=CLIPVisionConfig(**VISION),
        text_config=MistralConfig(**TEXT, sliding_window=None),
        image_token_index=IMAGE,
        image_grid_pinpoints=PINPOINTS,
        vision_feature_layer=-1,
    )
    model = finished(transformers.LlavaNextForConditionalGeneration, config, attention)
    with torch.no_grad():
        model.model.image_newline.normal_()
    return model


def _tiles(height: int, width: int, rows: int, columns: int) -> Any:
    """An image of this size: a base tile, and a grid of tiles that shows ``rows x columns`` patches of it."""

    def piece(generator: torch.Generator) -> Piece:
        tiles = 1 + (height // 24) * (width // 24)
        pixels = torch.zeros(1, 5, 3, 24, 24)  # padded to the most tiles
        pixels[0, :tiles] = torch.randn(tiles, 3, 24, 24, generator=generator)
        size = torch.tensor([[height, width]])
        return Piece([IMAGE] * (36 + rows * (columns + 1)), {"pixel_values": pixels, "image_sizes": size})

    return piece


def _onevision(attention: str) -> Any:
    config = transformers.LlavaOnevisionConfig(
        vision_config=SiglipVisionConfig(**VISION),
        text_config=Qwen2Config(**PLAIN_TEXT),
        image_token_index=IMAGE,
        video_token_index=VIDEO,
        image_grid_pinpoints=PINPOINTS,
        vision_feature_layer=-1,
        vision_aspect_ratio="anyres_max_9",
        vision_feature_select_strategy="full",
    )
    model = finished(transformers.LlavaOnevisionForConditionalGeneration, config, attention)
    with torch.no_grad():
        model.model.image_newline.normal_()
    return model


def _onevision_video(generator: torch.Generator) -> Piece:
    pixels = torch.randn(1, 4, 3, 24, 24, generator=generator)
    return Piece([VIDEO] * (4 * 9 + 1), {"pixel_values_videos": pixels})  # frames pooled to 3 x 3


def _video_llava(attention: str) -> Any:
    config = transformers.VideoLlavaConfig(
        vision_config=CLIPVisionConfig(**VISION),
        text_config=LlamaConfig(**TEXT),
        image_token_index=IMAGE,
        video_token_index=VIDEO,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        image_seq_length=36,
        video_seq_length=37 * 8,
    )
    return finished(transformers.VideoLlavaForConditionalGeneration, config, attention)


def _video_llava_video(generator: torch.Generator) -> Piece:
    pixels = torch.randn(1, 3, 3, 24, 24, generator=generator)
    return Piece([VIDEO] * (37 * 3), {"pixel_values_videos": pixels})


RECIPES = (
    Recipe("llava", tiny_llava, {"i": _llava}, concatenated, SAME),
    Recipe(
        "llava_next",
        _next,
        {"i": _tiles(24, 48, 6, 12), "j": _tiles(48, 48, 12, 12)},
        concatenated,
        IMAGES,
    ),
    Recipe(
        "llava_onevision",
        _onevision,
        {"i": _tiles(24, 48, 6, 12), "j": _tiles(48, 24, 12, 6), "v": _onevision_video},
        concatenated,
        IMAGES | VIDEOS,
    ),
    Recipe(
        "video_llava",
        _video_llava,
        {"i": _llava, "v": _video_llava_video},
        concatenated,
        SAME | VIDEOS,
    ),
)
