"""Tiny models of families that are the only one of their maker: HunYuan-VL, Molmo2, Step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers
from torch import Tensor

from tests.hf.families.recipe import (
    END,
    IMAGE,
    IMAGES,
    START,
    TEXT,
    VIDEOS,
    VISION,
    Piece,
    Recipe,
    concatenated,
    finished,
)

Make = Callable[[torch.Generator], Piece]
BREAK = 59
"""A token between parts of an image; random text never has it."""


def _molmo2(attention: str) -> Any:
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16}
    config = transformers.Molmo2Config(
        vision_config=VISION | heads | {"image_size": [24, 24]},
        adapter_config=heads
        | {
            "vision_feature_layer": [1, 0],
            "hidden_size": 32,
            "intermediate_size": 64,
            "text_hidden_size": 64,
        },
        text_config=TEXT
        | {
            "additional_vocab_size": 8,
            "rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0},
            "rope_scaling_layers": [1, 3],
        },
        image_patch_id=IMAGE,
        image_start_token_id=START,
        image_end_token_id=END,
        low_res_image_start_token_id=START,
        frame_start_token_id=START,
        frame_end_token_id=END,
    )
    return finished(transformers.Molmo2ForConditionalGeneration, config, attention)


def _pooled(generator: torch.Generator, tokens: int, patches: int) -> Tensor:
    """Patches that every token pools; -1 is none."""
    pooling = torch.randint(-1, patches, (tokens, 4), generator=generator)
    pooling[:, 0].clamp_(min=0)
    return pooling


def _molmo2_image(high: tuple[int, int]) -> Make:
    """A view of 3 x 3 tokens, and two crops in a grid."""

    def piece(generator: torch.Generator) -> Piece:
        ids = [token for h, w in ((3, 3), high) for token in [START, *([IMAGE] * w + [BREAK]) * h, END]]
        return Piece(
            ids,
            {
                "pixel_values": torch.randn(3, 36, 3 * 4 * 4, generator=generator),
                "image_token_pooling": _pooled(generator, 9 + high[0] * high[1], 3 * 36),
                "image_grids": torch.tensor([[3, 3, *high]]),
            },
        )

    return piece


def _molmo2_video(generator: torch.Generator) -> Piece:
    return Piece(
        [START, *[IMAGE] * 9, END] * 2,
        {
            "pixel_values_videos": torch.randn(2, 36, 3 * 4 * 4, generator=generator),
            "video_token_pooling": _pooled(generator, 2 * 9, 2 * 36),
            "video_grids": torch.tensor([[2, 3, 3]]),
        },
    )


def _molmo2_batch(inputs: dict[str, Tensor], pieces: list[Piece]) -> dict[str, Tensor]:
    """Patches are counted over all images of a batch."""
    start, moved = 0, []
    for piece in pieces:
        tensors = dict(piece.tensors)
        for name, value in piece.tensors.items():
            if name.endswith("token_pooling"):
                tensors[name] = torch.where(value < 0, value, value + start)
        start += sum(len(value) * 36 for name, value in tensors.items() if name.startswith("pixel_values"))
        moved.append(Piece(piece.ids, tensors))
    return _typed(inputs, moved)


def _typed(inputs: dict[str, Tensor], pieces: list[Piece]) -> dict[str, Tensor]:
    return concatenated(inputs | {"mm_token_type_ids": (inputs["input_ids"] == IMAGE).long()}, pieces)


def _hunyuan(attention: str) -> Any:
    vision = {name: value for name, value in VISION.items() if name != "image_size"}
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 2, 2, 2]}
    config = transformers.HunYuanVLConfig(
        vision_config=vision | {"max_image_size": 64, "out_hidden_size": 64},
        text_config=TEXT | {"rope_parameters": rope},
        image_token_id=IMAGE,
        im_start_id=START,
        im_end_id=END,
        im_newline_id=BREAK,
    )
    model = finished(transformers.HunYuanVLForConditionalGeneration, config, attention)
    with torch.no_grad():
        model.model.vision_tower.patch_merger.image_newline.normal_()
    return model


def _hunyuan_image(height: int, width: int) -> Make:
    """A grid of patches, merged two by two, with a newline behind every row and a token at either end."""

    def piece(generator: torch.Generator) -> Piece:
        tokens = height // 2 * (width // 2 + 1) + 2
        return Piece(
            [START, *[IMAGE] * tokens, END],
            {
                "pixel_values": torch.randn(height * width, 3 * 4 * 4, generator=generator),
                "image_grid_thw": torch.tensor([[1, height, width]]),
            },
        )

    return piece


def _step(attention: str) -> Any:
    config = transformers.Step3p7Config(
        vision_config=VISION | {"image_size": 56, "mlp_ratio": 2.0, "max_position_embeddings": 196},
        text_config=TEXT
        | {
            "mlp_layer_types": ["dense", "sparse", "dense", "sparse"],
            "n_routed_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 32,
            "share_expert_dim": 32,
            "sliding_window": 512,
        },
        image_token_id=IMAGE,
    )
    return finished(transformers.Step3p7ForConditionalGeneration, config, attention)


def _step_image(tiles: int) -> Make:
    """Tiles of 3 x 3 tokens, and a view of 4 x 4."""

    def piece(generator: torch.Generator) -> Piece:
        tensors = {
            "pixel_values": torch.randn(1, 3, 56, 56, generator=generator),
            "num_local_patches": torch.tensor([tiles]),
        }
        if tiles:
            tensors["pixel_values_local"] = torch.randn(tiles, 3, 40, 40, generator=generator)
        return Piece([*[START, *[IMAGE] * 9, END] * tiles, START, *[IMAGE] * 16, END], tensors)

    return piece


RECIPES = (
    Recipe("hunyuan_vl", _hunyuan, {"i": _hunyuan_image(8, 8), "j": _hunyuan_image(8, 12)}, _typed, IMAGES),
    Recipe(
        "molmo2",
        _molmo2,
        {"i": _molmo2_image((3, 4)), "j": _molmo2_image((3, 6)), "v": _molmo2_video},
        _molmo2_batch,
        IMAGES | {"video": VIDEOS["video"]},  # images and videos are never together
    ),
    Recipe("step3p7", _step, {"i": _step_image(0), "j": _step_image(2)}, concatenated, IMAGES),
)
