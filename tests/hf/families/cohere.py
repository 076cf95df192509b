"""Tiny Cohere models with vision; only the last of their four decoder layers has no window."""

from __future__ import annotations

from typing import Any

import transformers
from transformers import SiglipVisionConfig

from tests.hf.families.recipe import IMAGE, IMAGES, TEXT, VISION, Recipe, concatenated, finished, tiles


def _text() -> Any:
    return transformers.Cohere2Config(**TEXT, sliding_window=512, logit_scale=1.0)


def _aya_vision(attention: str) -> Any:
    config = transformers.AyaVisionConfig(
        vision_config=SiglipVisionConfig(**VISION, vision_use_head=False),
        text_config=_text(),
        image_token_index=IMAGE,
    )
    return finished(transformers.AyaVisionForConditionalGeneration, config, attention)


def _cohere2_vision(attention: str) -> Any:
    config = transformers.Cohere2VisionConfig(
        vision_config=SiglipVisionConfig(**VISION, vision_use_head=False),
        text_config=_text(),
        image_token_id=IMAGE,
        alignment_intermediate_size=128,
    )
    return finished(transformers.Cohere2VisionForConditionalGeneration, config, attention)


PIECES = {"i": tiles(2, 9), "j": tiles(3, 9)}

RECIPES = (
    Recipe("aya_vision", _aya_vision, PIECES, concatenated, IMAGES),
    Recipe("cohere2_vision", _cohere2_vision, PIECES, concatenated, IMAGES),
)
