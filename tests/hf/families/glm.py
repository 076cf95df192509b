"""Tiny GLM models with vision, and other models of documents and video that see grids of patches."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.hf.families.build import (
    BOUNDS,
    GRID,
    IDS,
    MROPE,
    MROPE_TEXT,
    PLACEHOLDERS,
    PLAIN_TEXT,
    QWEN2,
    ROUTED,
    TEXT,
    UNTIED,
    VISION,
    tiny,
    without,
)
from tests.hf.families.pieces import (
    FIRST,
    LAST,
    PATCH,
    SQUARED,
    Make,
    all_timed,
    bare,
    concatenated,
    grid,
    grids,
    typed,
)
from tests.hf.families.recipe import END, IMAGE, IMAGES, START, VIDEOS, Piece, Prompts, Recipe

GLM_IDS = {**PLACEHOLDERS, **BOUNDS, "video_start_token_id": FIRST, "video_end_token_id": LAST}
ENCODER = GRID | {"image_size": 24}
EXPERTS = {
    **ROUTED,
    "first_k_dense_replace": 1,
    "rope_parameters": MROPE | {"mrope_section": [1, 1, 2], "partial_rotary_factor": 0.5},
}
GLM46V = {"model": "Glm46VForConditionalGeneration", **GLM_IDS}
NAMED = ENCODER | {"model_type": "glm4v_vision"}, MROPE_TEXT | {"model_type": "glm4v_text"}
PIECES = grids(all_timed, kind=IMAGE)
PROMPTS: Prompts = IMAGES | {"video": VIDEOS["video"], "videos": [[2, "v", 1, "w", 5], [3, "w", 9]]}
"""Images and videos share a placeholder, so transformers takes no call with both."""
ERNIE = without(GRID, "temporal_patch_size", "out_hidden_size") | {"temporal_merge_size": 2}
PATCHES = without(VISION, "image_size")
KIMI = PLAIN_TEXT | {
    "model_type": "deepseek_v3",
    "num_key_value_heads": 4,
    **ROUTED,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "q_lora_rank": 32,
    "kv_lora_rank": 32,
    "qk_rope_head_dim": 16,
    "qk_nope_head_dim": 16,
    "v_head_dim": 16,
}


def _inside(inputs: dict[str, Tensor], pieces: list[Piece]) -> dict[str, Tensor]:
    """Placeholders between tokens around a video are of a video."""
    ids = inputs["input_ids"]
    inside = (ids == FIRST).cumsum(1) > (ids == LAST).cumsum(1)
    kinds = (ids == IMAGE).long() * (1 + inside.long())
    return concatenated(inputs | {"mm_token_type_ids": kinds}, pieces)


def _expert_types(inputs: dict[str, Tensor], pieces: list[Piece]) -> dict[str, Tensor]:
    """The kinds of tokens, and those for the choice of experts: tokens around an image belong to it."""
    inputs = typed(inputs, pieces)
    ids, kinds = inputs["input_ids"], inputs["mm_token_type_ids"]
    around = (ids == START) | (ids == END)
    return inputs | {"moe_mm_token_type_ids": kinds.masked_fill(around, 1)}


def _whole_image(height: int, width: int) -> Make:
    """VideoLLaMA 3 merges no patches of an image."""

    def piece(generator: torch.Generator) -> Piece:
        tensors = grid(1, height, width, shape=PATCH)(generator).tensors
        return Piece([IMAGE] * (height * width), tensors | {"image_merge_sizes": torch.tensor([1])})

    return piece


def _merged_video(frames: int, height: int, width: int) -> Make:
    """A video: merged two by two, and every frame behind its time."""

    def behind(tiles: list[list[int]]) -> list[int]:
        return bare([[5, *tile] for tile in tiles])

    def piece(generator: torch.Generator) -> Piece:
        made = grid(frames, height, width, video=True, shape=PATCH, around=behind)(generator)
        more = {
            "video_merge_sizes": torch.tensor([2]),
            "video_compression_mask": torch.ones(frames * height * width // 4, dtype=torch.bool),
        }
        return Piece(made.ids, made.tensors | more)

    return piece


RECIPES = (
    Recipe("glm4v", tiny("Glm4v", ENCODER, MROPE_TEXT, **GLM_IDS), PIECES, _inside, PROMPTS),
    Recipe(
        "glm4v_moe",
        tiny("Glm4vMoe", ENCODER, MROPE_TEXT | EXPERTS, scale=3.0, **GLM_IDS),
        PIECES,
        _inside,
        PROMPTS,
    ),
    Recipe("glm46v", tiny("Glm46V", *NAMED, **GLM46V), PIECES, _inside, PROMPTS),
    Recipe("glmga", tiny("Glmga", *NAMED, **GLM46V), PIECES, _inside, PROMPTS),
    Recipe("glm_ocr", tiny("GlmOcr", ENCODER, MROPE_TEXT, **GLM_IDS), PIECES, _inside, PROMPTS),
    Recipe(
        "video_llama_3",
        tiny("VideoLlama3", PATCHES, QWEN2, **PLACEHOLDERS),
        {
            "i": _whole_image(4, 4),
            "j": _whole_image(4, 6),
            "v": _merged_video(2, 8, 8),
            "w": _merged_video(3, 8, 4),
        },
        concatenated,
        IMAGES | VIDEOS,
    ),
    Recipe(
        "ernie4_5_vl_moe",
        tiny(
            "Ernie4_5_VLMoe",
            ERNIE,
            PLAIN_TEXT
            | UNTIED
            | {
                "moe_num_experts": 4,
                "moe_k": 2,
                "moe_num_shared_experts": 1,
                "moe_intermediate_size": [32, 32],
                "rope_parameters": MROPE | {"mrope_section": [3, 3, 2]},
            },
            video_start_token_id=START,
            video_end_token_id=END,
            scale=3.0,
            **PLACEHOLDERS,
            **BOUNDS,
            **UNTIED,
        ),
        grids(shape=PATCH, letters="ijv", joined=2),
        _expert_types,
        IMAGES | VIDEOS,
    ),
    Recipe(
        "paddleocr_vl",
        tiny(
            "PaddleOCRVL",
            VISION | {"spatial_merge_size": 2},
            TEXT | UNTIED | {"rope_parameters": MROPE},
            **IDS,
            **UNTIED,
        ),
        grids(shape=SQUARED, letters="ij"),
        typed,
        IMAGES,
    ),
    Recipe(
        "kimi_k25",
        tiny(
            "Kimi_K25",
            PATCHES | {"pos_emb_height": 8, "pos_emb_width": 8},
            KIMI,
            projection_hidden_size=32,
            scale=3.0,
            **IDS,
            **UNTIED,
        ),
        grids(shape=SQUARED, letters="ij"),
        concatenated,
        IMAGES,
    ),
)
