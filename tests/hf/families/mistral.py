"""Tiny models with Pixtral's vision encoder."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
import transformers

from tests.hf.families.recipe import END, IMAGE, IMAGES, START, TEXT, Piece, Recipe, concatenated, finished

CANVAS = 32
"""Height and width that all pixels are padded to."""
VISION: dict[str, Any] = {
    "model_type": "pixtral",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "head_dim": 16,
    "image_size": 64,
    "patch_size": 4,
}


def _mistral3(text: dict[str, Any]) -> Callable[[str], Any]:
    def build(attention: str) -> Any:
        config = transformers.Mistral3Config(
            vision_config=VISION,
            text_config=deepcopy(TEXT | text),  # configs write into theirs
            image_token_index=IMAGE,
            spatial_merge_size=2,
            vision_feature_layer=-1,
        )
        return finished(transformers.Mistral3ForConditionalGeneration, config, attention)

    return build


def _lighton_ocr(attention: str) -> Any:
    config = transformers.LightOnOcrConfig(
        vision_config=VISION,
        text_config=TEXT | {"model_type": "qwen3"},
        image_token_id=IMAGE,
        spatial_merge_size=2,
    )
    return finished(transformers.LightOnOcrForConditionalGeneration, config, attention)


def _image(height: int, width: int, *, breaks: bool = True) -> Callable[[torch.Generator], Piece]:
    """An image of this size in pixels; ``breaks`` puts a token behind every row, as Mistral 3 has it."""

    def piece(generator: torch.Generator) -> Piece:
        rows, columns = height // 8, width // 8
        ids = ([IMAGE] * columns + [START]) * rows if breaks else [IMAGE] * (rows * columns + 1)
        pixels = torch.zeros(1, 3, CANVAS, CANVAS)
        pixels[..., :height, :width] = torch.randn(1, 3, height, width, generator=generator)
        size = torch.tensor([[height, width]])
        return Piece([*ids[:-1], END], {"pixel_values": pixels, "image_sizes": size})

    return piece


PIECES = {"i": _image(24, 32), "j": _image(32, 16)}
UNBROKEN = {"i": _image(24, 32, breaks=False), "j": _image(32, 16, breaks=False)}

SCALED = {"type": "yarn", "rope_type": "yarn", "rope_theta": 10000.0, "factor": 8.0, "beta_fast": 32.0}
SCALED |= {"beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0}
SCALED |= {"original_max_position_embeddings": 8, "llama_4_scaling_beta": 0.5}
"""Queries are scaled by their position, once per 8 tokens."""
MISTRAL4: dict[str, Any] = {
    "model_type": "mistral4",
    "num_key_value_heads": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "q_lora_rank": 32,
    "kv_lora_rank": 32,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 16,
    "rope_parameters": SCALED,
}

RECIPES = (
    Recipe(
        "mistral3",
        _mistral3({"model_type": "mistral", "sliding_window": None}),
        PIECES,
        concatenated,
        IMAGES,
    ),
    Recipe(
        "mistral3 ministral3",
        _mistral3({"model_type": "ministral3", "sliding_window": None, "rope_parameters": SCALED}),
        PIECES,
        concatenated,
        IMAGES,
    ),
    Recipe("mistral3 mistral4", _mistral3(MISTRAL4), PIECES, concatenated, IMAGES),
    Recipe("lighton_ocr", _lighton_ocr, UNBROKEN, concatenated, IMAGES),
)
