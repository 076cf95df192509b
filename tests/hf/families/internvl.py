"""Tiny InternVL models, and OCR models with tiles of one size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import transformers

from tests.hf.families.enclosed import together
from tests.hf.families.recipe import (
    IMAGE,
    IMAGES,
    PLAIN_TEXT,
    SAME,
    TEXT,
    VISION,
    Recipe,
    concatenated,
    finished,
    tiles,
)

SQUARE = VISION | {"image_size": [24, 24], "patch_size": [4, 4]}


def _internvl(attention: str) -> Any:
    config = transformers.InternVLConfig(
        vision_config=SQUARE,
        text_config=transformers.Qwen2Config(**PLAIN_TEXT),
        image_token_id=IMAGE,
        downsample_ratio=0.5,
    )
    return finished(transformers.InternVLForConditionalGeneration, config, attention)


def _got_ocr2(config: str) -> Callable[[str], Any]:
    def build(attention: str) -> Any:
        made = getattr(transformers, config)(
            vision_config={
                "hidden_size": 32,
                "output_channels": 16,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "image_size": 64,
                "patch_size": 4,
                "window_size": 8,
                "global_attn_indexes": [1],
                "mlp_dim": 64,
                "initializer_range": 0.02,
            },
            text_config=transformers.Qwen2Config(**PLAIN_TEXT),
            image_token_index=IMAGE,
            image_seq_length=16,
        )
        return finished(transformers.GotOcr2ForConditionalGeneration, made, attention)

    return build


def _qianfan_ocr(attention: str) -> Any:
    config = transformers.QianfanOCRConfig(
        vision_config=SQUARE,
        text_config=transformers.Qwen3Config(**TEXT),
        image_token_id=IMAGE,
        downsample_ratio=0.5,
    )
    return finished(transformers.QianfanOCRForConditionalGeneration, config, attention)


NINE = {"i": tiles(1, 9, together), "j": tiles(3, 9, together)}
SIXTEEN = {"i": tiles(1, 16, together, side=64), "j": tiles(2, 16, together, side=64)}
ONE = {"i": SIXTEEN["i"]}

RECIPES = (
    Recipe("internvl", _internvl, NINE, concatenated, IMAGES),
    Recipe("got_ocr2", _got_ocr2("GotOcr2Config"), SIXTEEN, concatenated, IMAGES, attention=("eager",)),
    Recipe(
        "pp_chart2table",
        _got_ocr2("PPChart2TableConfig"),
        ONE,
        concatenated,
        SAME,
        attention=("eager",),
    ),
    Recipe("qianfan_ocr", _qianfan_ocr, NINE, concatenated, IMAGES),
)
