"""Tiny models for video and documents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers
from torch import Tensor

from tests.hf.families.qwen import IDS, ROPE, grid_pieces, typed
from tests.hf.families.recipe import (
    END,
    IMAGE,
    IMAGES,
    PLAIN_TEXT,
    START,
    TEXT,
    VIDEO,
    VIDEOS,
    Piece,
    Recipe,
    concatenated,
    finished,
)

PLACEHOLDERS = {"image_token_id": IMAGE, "video_token_id": VIDEO}
VISION: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "patch_size": 4,
}
UNTIED = {"tie_word_embeddings": False}


def _video_llama_3(attention: str) -> Any:
    config = transformers.VideoLlama3Config(
        vision_config=VISION, text_config={"model_type": "qwen2"} | PLAIN_TEXT, **PLACEHOLDERS
    )
    return finished(transformers.VideoLlama3ForConditionalGeneration, config, attention)


def _ernie(attention: str) -> Any:
    config = transformers.Ernie4_5_VLMoeConfig(
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "patch_size": 4,
            "spatial_merge_size": 2,
            "temporal_merge_size": 2,
        },
        text_config=PLAIN_TEXT
        | UNTIED
        | {
            "moe_num_experts": 4,
            "moe_k": 2,
            "moe_num_shared_experts": 1,
            "moe_intermediate_size": [32, 32],
            "rope_parameters": ROPE | {"mrope_section": [3, 3, 2]},
        },
        image_start_token_id=START,
        image_end_token_id=END,
        video_start_token_id=START,
        video_end_token_id=END,
        **PLACEHOLDERS,
        **UNTIED,
    )
    return finished(transformers.Ernie4_5_VLMoeForConditionalGeneration, config, attention, 3.0)


def _paddleocr(attention: str) -> Any:
    config = transformers.PaddleOCRVLConfig(
        vision_config=VISION | {"image_size": 24, "spatial_merge_size": 2},
        text_config=TEXT | UNTIED | {"rope_parameters": ROPE},
        **IDS,
        **UNTIED,
    )
    return finished(transformers.PaddleOCRVLForConditionalGeneration, config, attention)


def _exaone(attention: str) -> Any:
    config = transformers.Exaone4_5_Config(
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "num_key_value_heads": 1,
            "patch_size": 4,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "out_hidden_size": 64,
            "window_size": 16,
            "fullatt_block_indexes": [1],
        },
        text_config={"model_type": "exaone4", "sliding_window": None}
        | TEXT
        | {"layer_types": ["full_attention"] * 4},  # stage 2 takes no static cache of a sliding window
        **PLACEHOLDERS,
    )
    return finished(transformers.Exaone4_5_ForConditionalGeneration, config, attention)


def _kimi(attention: str) -> Any:
    config = transformers.Kimi_K25Config(
        vision_config=VISION | {"pos_emb_height": 8, "pos_emb_width": 8},
        text_config={"model_type": "deepseek_v3"}
        | PLAIN_TEXT
        | {
            "num_key_value_heads": 4,
            "n_routed_experts": 4,
            "num_experts_per_tok": 2,
            "n_group": 1,
            "topk_group": 1,
            "moe_intermediate_size": 32,
            "first_k_dense_replace": 1,
            "q_lora_rank": 32,
            "kv_lora_rank": 32,
            "qk_rope_head_dim": 16,
            "qk_nope_head_dim": 16,
            "v_head_dim": 16,
        },
        projection_hidden_size=32,
        **IDS,
        **UNTIED,
    )
    return finished(transformers.Kimi_K25ForConditionalGeneration, config, attention, 3.0)


def _patches(
    shape: tuple[int, ...], frames: int, height: int, width: int, *, video: bool = False
) -> Callable[[torch.Generator], Piece]:
    """A grid of patches of this shape, merged two by two; two frames of a video are merged into one."""

    def piece(generator: torch.Generator) -> Piece:
        tokens = height * width // 4 * frames // (2 if video else 1)
        ids = [START, *[VIDEO if video else IMAGE] * tokens, END]
        pixels = torch.randn(frames * height * width, *shape, generator=generator)
        grid = torch.tensor([[frames, height, width]])
        if video:
            return Piece(ids, {"pixel_values_videos": pixels, "video_grid_thw": grid})
        return Piece(ids, {"pixel_values": pixels, "image_grid_thw": grid})

    return piece


def _llama_image(height: int, width: int) -> Callable[[torch.Generator], Piece]:
    def piece(generator: torch.Generator) -> Piece:
        tensors = {
            "pixel_values": torch.randn(height * width, 3 * 4 * 4, generator=generator),
            "image_grid_thw": torch.tensor([[1, height, width]]),
            "image_merge_sizes": torch.tensor([1]),
        }
        return Piece([IMAGE] * (height * width), tensors)

    return piece


def _llama_video(frames: int, height: int, width: int) -> Callable[[torch.Generator], Piece]:
    """A video: merged two by two, and every frame behind its time."""

    def piece(generator: torch.Generator) -> Piece:
        tokens = height * width // 4
        tensors = {
            "pixel_values_videos": torch.randn(frames * height * width, 3 * 4 * 4, generator=generator),
            "video_grid_thw": torch.tensor([[frames, height, width]]),
            "video_merge_sizes": torch.tensor([2]),
            "video_compression_mask": torch.ones(frames * tokens, dtype=torch.bool),
        }
        return Piece([5, *[VIDEO] * tokens] * frames, tensors)

    return piece


def _expert_types(inputs: dict[str, Tensor], pieces: list[Piece]) -> dict[str, Tensor]:
    """The kinds of tokens, and those for the choice of experts: tokens around an image belong to it."""
    inputs = typed(inputs, pieces)
    ids, kinds = inputs["input_ids"], inputs["mm_token_type_ids"]
    around = (ids == START) | (ids == END)
    return inputs | {"moe_mm_token_type_ids": kinds.masked_fill(around, 1)}


FLAT, SQUARE = (3 * 4 * 4,), (3, 4, 4)
RECIPES = (
    Recipe(
        "video_llama_3",
        _video_llama_3,
        {
            "i": _llama_image(4, 4),
            "j": _llama_image(4, 6),
            "v": _llama_video(2, 8, 8),
            "w": _llama_video(3, 8, 4),
        },
        concatenated,
        IMAGES | VIDEOS,
    ),
    Recipe(
        "ernie4_5_vl_moe",
        _ernie,
        {
            "i": _patches(FLAT, 1, 8, 8),
            "j": _patches(FLAT, 1, 8, 12),
            "v": _patches(FLAT, 4, 8, 8, video=True),
        },
        _expert_types,
        IMAGES | VIDEOS,
    ),
    Recipe(
        "paddleocr_vl",
        _paddleocr,
        {"i": _patches(SQUARE, 1, 8, 8), "j": _patches(SQUARE, 1, 8, 12)},
        typed,
        IMAGES,
    ),
    Recipe("exaone4_5", _exaone, grid_pieces(runs=False), concatenated, IMAGES | VIDEOS),
    Recipe(
        "kimi_k25",
        _kimi,
        {"i": _patches(SQUARE, 1, 8, 8), "j": _patches(SQUARE, 1, 8, 12)},
        concatenated,
        IMAGES,
    ),
)
