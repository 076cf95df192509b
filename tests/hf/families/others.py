"""Tiny models of families that are like no other: DeepSeek-OCR 2, Fuyu, HunYuan-VL, LFM, Molmo2, Step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tests.hf.families.build import (
    FULL,
    IDS,
    PLAIN_TEXT,
    ROPE,
    ROUTED,
    SAM,
    TEXT,
    VISION,
    tiny,
    without,
)
from tests.hf.families.enclosed import named_if_several
from tests.hf.families.pieces import PATCH, Make, concatenated, grid, grids, typed
from tests.hf.families.recipe import END, IMAGE, IMAGES, SAME, START, VIDEOS, Piece, Prompts, Recipe

BREAK = 59
"""A token between parts of an image; random text never has it."""


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
    return typed(inputs, moved)


def _hunyuan_image(height: int, width: int) -> Make:
    """A grid of patches, merged two by two, with a newline behind every row and a token at either end."""

    def around(tiles: list[list[int]]) -> list[int]:
        return [START, *tiles[0], *[IMAGE] * (height // 2 + 2), END]

    return grid(1, height, width, shape=PATCH, around=around)


def _local_patches(tiles: int, view: int, side: int, ids: list[int]) -> Make:
    """A view of the whole image, and tiles of it, with sides in pixels."""

    def piece(generator: torch.Generator) -> Piece:
        tensors = {
            "pixel_values": torch.randn(1, 3, view, view, generator=generator),
            "num_local_patches": torch.tensor([tiles]),
        }
        if tiles:
            tensors["pixel_values_local"] = torch.randn(tiles, 3, side, side, generator=generator)
        return Piece(ids, tensors)

    return piece


def _step_image(tiles: int) -> Make:
    """Tiles of 3 x 3 tokens, and a view of 4 x 4."""
    return _local_patches(tiles, 56, 40, [*[START, *[IMAGE] * 9, END] * tiles, START, *[IMAGE] * 16, END])


def _views(tiles: int) -> Make:
    return _local_patches(tiles, 48, 48, [START, *[IMAGE] * (9 * tiles + 9 + 1), END])


def _patches(*sizes: tuple[int, int]) -> Make:
    """An image of tiles of these sizes in patches."""

    def piece(generator: torch.Generator) -> Piece:
        counts = [height * width for height, width in sizes]
        real = torch.arange(36)[None] < torch.tensor(counts)[:, None]  # padded to the most patches
        return Piece(
            named_if_several([[IMAGE] * (count // 4) for count in counts]),
            {
                "pixel_values": torch.randn(len(sizes), 36, 3 * 4 * 4, generator=generator) * real[..., None],
                "spatial_shapes": torch.tensor(sizes),
                "pixel_attention_mask": real.long(),
            },
        )

    return piece


def _fuyu_patches(generator: torch.Generator) -> Piece:
    """Rows of 3 x 4 patches with a newline behind each."""
    return Piece(
        ([IMAGE] * 4 + [BREAK]) * 3, {"pixel_values": torch.randn(1, 12, 3 * 4 * 4, generator=generator)}
    )


HEADS = {"num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16}
MIXED = {"layer_types": ["conv", "full_attention", "conv", "full_attention"]}
EVEN: Prompts = {"rows of one length": [["i", 34], ["j", 3]]}
"""Nothing is padded until stage 1 drops more of one row than of the other."""


def _lfm2(layers: dict[str, Any]) -> Any:
    vision = without(VISION, "image_size")
    vision |= {"model_type": "siglip2_vision_model", "num_patches": 36, "vision_use_head": False}
    text = PLAIN_TEXT | layers | {"model_type": "lfm2"}
    return tiny("Lfm2Vl", vision, text, image_token_id=IMAGE, projector_hidden_size=64)


def _lfm3(layers: dict[str, Any]) -> Any:
    vision = without(VISION, "image_size") | {"spatial_merge_size": 2, "temporal_patch_size": 2}
    vision |= {"num_key_value_heads": 2, "layer_types": ["conv", "full_attention"]}
    return tiny(
        "Lfm3Vl", vision, PLAIN_TEXT | layers | {"model_type": "lfm3"}, projector_hidden_size=64, **IDS
    )


def _deepseek_ocr2(attention: str) -> Any:
    model = tiny(
        "DeepseekOcr2",
        {
            "sam_config": SAM | {"downsample_channels": [16, 32]},
            "encoder_config": {
                "hidden_size": 32,
                "intermediate_size": 64,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "num_key_value_heads": 2,
            },
        },
        PLAIN_TEXT | ROUTED | {"n_shared_experts": 1, "mlp_layer_types": ["dense", "sparse"] * 2},
        image_token_id=IMAGE,
        scale=3.0,
    )(attention)
    tower = model.model.vision_tower  # its checkpoints have 144 and 256 queries
    with torch.no_grad():
        tower.query_768_resolution.weight = torch.nn.Parameter(torch.randn(9, 32))
        tower.query_1024_resolution.weight = torch.nn.Parameter(torch.randn(16, 32))
        model.model.view_separator.normal_()
    return model


TILED = {"i": _patches((6, 6)), "j": _patches((4, 6), (4, 6), (4, 8))}

RECIPES = (
    Recipe("deepseek_ocr2", _deepseek_ocr2, {"i": _views(0), "j": _views(2)}, concatenated, IMAGES),
    Recipe(
        "fuyu",
        tiny(
            "Fuyu",
            None,
            without(PLAIN_TEXT, "num_key_value_heads") | {"model_type": "persimmon"},
            model="FuyuForCausalLM",
            patch_size=4,
            image_size=24,
            image_token_id=IMAGE,
        ),
        {"i": _fuyu_patches},
        concatenated,
        SAME,
    ),
    Recipe(
        "hunyuan_vl",
        tiny(
            "HunYuanVL",
            without(VISION, "image_size") | {"max_image_size": 64, "out_hidden_size": 64},
            TEXT | {"rope_parameters": ROPE | {"mrope_section": [2, 2, 2, 2]}},
            drawn=("patch_merger.image_newline",),
            image_token_id=IMAGE,
            im_start_id=START,
            im_end_id=END,
            im_newline_id=BREAK,
        ),
        {"i": _hunyuan_image(8, 8), "j": _hunyuan_image(8, 12)},
        typed,
        IMAGES,
    ),
    Recipe("lfm2_vl", _lfm2(FULL), TILED, concatenated, IMAGES),
    Recipe("lfm2_vl mixed", _lfm2(MIXED), TILED, concatenated, IMAGES | EVEN, short=True),
    Recipe("lfm3_vl", _lfm3(FULL), grids(), concatenated, IMAGES | VIDEOS),
    Recipe("lfm3_vl mixed", _lfm3(MIXED), grids(), concatenated, IMAGES | VIDEOS, short=True),
    Recipe(
        "molmo2",
        tiny(
            "Molmo2",
            VISION | HEADS | {"image_size": [24, 24]},
            TEXT
            | {
                "additional_vocab_size": 8,
                "rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0},
                "rope_scaling_layers": [1, 3],
            },
            adapter_config=HEADS
            | {
                "vision_feature_layer": [1, 0],
                "hidden_size": 32,
                "intermediate_size": 64,
                "text_hidden_size": 64,
            },
            image_patch_id=IMAGE,
            image_start_token_id=START,
            image_end_token_id=END,
            low_res_image_start_token_id=START,
            frame_start_token_id=START,
            frame_end_token_id=END,
        ),
        {"i": _molmo2_image((3, 4)), "j": _molmo2_image((3, 6)), "v": _molmo2_video},
        _molmo2_batch,
        IMAGES | {"video": VIDEOS["video"]},  # images and videos are never together
    ),
    Recipe(
        "step3p7",
        tiny(
            "Step3p7",
            VISION | {"image_size": 56, "mlp_ratio": 2.0, "max_position_embeddings": 196},
            TEXT
            | ROUTED
            | {"mlp_layer_types": ["dense", "sparse", "dense", "sparse"], "share_expert_dim": 32}
            | {"sliding_window": 512},
            image_token_id=IMAGE,
        ),
        {"i": _step_image(0), "j": _step_image(2)},
        concatenated,
        IMAGES,
    ),
)
