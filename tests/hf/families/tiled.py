"""Tiny models that see an image as square tiles of one size, with tokens of their own around them."""

from __future__ import annotations

from tests.hf.families.build import (
    LLAMA,
    MISTRAL,
    QWEN2,
    ROPE,
    SAM,
    SIGLIP,
    SQUARE,
    TEXT,
    VISION,
    tiny,
)
from tests.hf.families.enclosed import (
    GRID,
    STOP,
    alike,
    broken,
    gridded,
    named,
    separated,
    together,
    view_last,
)
from tests.hf.families.pieces import concatenated, stacked, tile_pair
from tests.hf.families.recipe import END, IMAGE, IMAGES, SAME, START, Recipe

ID = {"image_token_id": IMAGE}
INDEX = {"image_token_index": IMAGE}
COHERE = TEXT | {"model_type": "cohere2", "sliding_window": 512, "logit_scale": 1.0}
"""Only the last of its four decoder layers has no window."""
OCR = SAM | {"image_size": 64, "window_size": 8}
GOT = {"model": "GotOcr2ForConditionalGeneration", "image_seq_length": 16, **INDEX}
NINE = tile_pair(1, 3, 9, together)
SIXTEEN = tile_pair(1, 2, 16, together, 64)

RECIPES = (
    Recipe(
        "aya_vision",
        tiny("AyaVision", SIGLIP, COHERE, **INDEX),
        tile_pair(1, 3, 9, named),
        concatenated,
        IMAGES,
    ),
    Recipe(
        "cohere2_vision",
        tiny("Cohere2Vision", SIGLIP, COHERE, alignment_intermediate_size=128, **ID),
        tile_pair(1, 3, 9, broken),
        concatenated,
        IMAGES,
    ),
    Recipe(
        "internvl", tiny("InternVL", SQUARE, QWEN2, downsample_ratio=0.5, **ID), NINE, concatenated, IMAGES
    ),
    Recipe(
        "qianfan_ocr",
        tiny("QianfanOCR", SQUARE, TEXT | {"model_type": "qwen3"}, downsample_ratio=0.5, **ID),
        NINE,
        concatenated,
        IMAGES,
    ),
    Recipe(
        "got_ocr2", tiny("GotOcr2", OCR, QWEN2, **GOT), SIXTEEN, concatenated, IMAGES, attention=("eager",)
    ),
    Recipe(
        "pp_chart2table",
        tiny("PPChart2Table", OCR, QWEN2, **GOT),
        {"i": SIXTEEN["i"]},
        concatenated,
        SAME,
        attention=("eager",),
    ),
    Recipe(
        "idefics2",
        tiny(
            "Idefics2",
            VISION,
            MISTRAL,
            drawn=("perceiver_resampler.latents",),
            perceiver_config={
                "hidden_size": 64,
                "resampler_n_latents": 9,
                "resampler_depth": 2,
                "resampler_n_heads": 2,
                "resampler_head_dim": 16,
                "num_key_value_heads": 2,
            },
            **ID,
        ),
        tile_pair(1, 5, 9, alike),
        stacked(9),
        IMAGES,
    ),
    Recipe(
        "idefics3",
        tiny("Idefics3", VISION, LLAMA, scale_factor=2, **ID),
        tile_pair(1, 4, 9, view_last),
        stacked(9),
        IMAGES,
    ),
    Recipe(
        "smolvlm",
        tiny("SmolVLM", VISION, LLAMA, scale_factor=2, **ID),
        tile_pair(1, 4, 9, view_last),
        stacked(9),
        IMAGES,
    ),
    Recipe(
        "llama4",
        tiny(
            "Llama4",
            VISION
            | {
                "intermediate_size": 128,  # four patches of 32
                "projector_input_dim": 64,
                "projector_output_dim": 64,
                "vision_output_dim": 64,
                "rope_parameters": ROPE,
            },
            TEXT
            | {
                "intermediate_size_mlp": 128,
                "num_local_experts": 2,
                "interleave_moe_layer_step": 2,
                "attention_chunk_size": 512,
                "rope_parameters": ROPE,
            },
            boi_token_index=START,
            eoi_token_index=END,
            **INDEX,
        ),
        tile_pair(1, 3, 9, separated),
        concatenated,
        IMAGES,
        broken=("5.24.0",),
    ),
    Recipe(
        "ovis2",
        tiny(
            "Ovis2",
            VISION | {"vocab_size": 32, "hidden_stride": 2, "num_visual_indicator_tokens": 4},
            QWEN2,
            visual_indicator_token_ids=[START, END, GRID, STOP],
            vocab_size=TEXT["vocab_size"],
            hidden_size=TEXT["hidden_size"],
            **ID,
        ),
        tile_pair(1, 3, 9, gridded),
        concatenated,
        IMAGES,
    ),
)
