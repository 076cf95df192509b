"""Tiny models with Pixtral's vision encoder."""

from __future__ import annotations

import torch

from tests.hf.families.build import MISTRAL, PIXTRAL, ROUTED, TEXT, Build, Sizes, tiny
from tests.hf.families.pieces import Make, concatenated
from tests.hf.families.recipe import END, IMAGE, IMAGES, START, Piece, Recipe

CANVAS = 32
"""Height and width that all pixels are padded to."""


def _mistral3(text: Sizes) -> Build:
    return tiny(
        "Mistral3", PIXTRAL, text, image_token_index=IMAGE, spatial_merge_size=2, vision_feature_layer=-1
    )


def _image(height: int, width: int, *, breaks: bool = True) -> Make:
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
MISTRAL4: Sizes = {
    "model_type": "mistral4",
    "num_key_value_heads": 4,
    **ROUTED,
    "q_lora_rank": 32,
    "kv_lora_rank": 32,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 16,
    "rope_parameters": SCALED,
}

SCALED_TEXT = TEXT | {"model_type": "ministral3", "sliding_window": None, "rope_parameters": SCALED}

RECIPES = (
    Recipe("mistral3", _mistral3(MISTRAL), PIECES, concatenated, IMAGES),
    Recipe("mistral3 ministral3", _mistral3(SCALED_TEXT), PIECES, concatenated, IMAGES),
    Recipe("mistral3 mistral4", _mistral3(TEXT | MISTRAL4), PIECES, concatenated, IMAGES),
    Recipe(
        "lighton_ocr",
        tiny(
            "LightOnOcr", PIXTRAL, TEXT | {"model_type": "qwen3"}, image_token_id=IMAGE, spatial_merge_size=2
        ),
        UNBROKEN,
        concatenated,
        IMAGES,
    ),
)
