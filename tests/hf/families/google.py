"""Tiny Gemma models with vision."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import torch
import transformers
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.gemma3n import modeling_gemma3n

from tests.hf.families.build import PLACEHOLDERS, SIGLIP, SLIDING, TEXT, VISION, Build, tiny, without
from tests.hf.families.enclosed import together
from tests.hf.families.pieces import Make, concatenated, tiles, typed
from tests.hf.families.recipe import END, IMAGE, IMAGES, SAME, START, VIDEO, VIDEOS, Piece, Prompts, Recipe

IDS = {**PLACEHOLDERS, "boi_token_id": START, "eoi_token_id": END}
LAYERS = TEXT | SLIDING


def _gemma3(kind: str) -> Build:
    return tiny(
        kind,
        SIGLIP,
        LAYERS | {"query_pre_attn_scalar": 16, "model_type": "gemma3_text"},
        model="Gemma3ForConditionalGeneration",
        scale=3.0,
        drawn=("mm_input_projection_weight",),
        spread=0.3,
        image_token_index=IMAGE,
        boi_token_index=START,
        eoi_token_index=END,
        mm_tokens_per_image=9,
    )


class _Tower(torch.nn.Module):
    """Stands for Gemma 3n's own tower, which comes from timm: a map of channels."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = torch.nn.Conv2d(3, 32, 4, stride=4)

    def forward(self, pixel_values: Tensor, **_: Any) -> BaseModelOutputWithPooling:
        return BaseModelOutputWithPooling(last_hidden_state=self.patches(pixel_values).tanh())


def _gemma3n(attention: str) -> Any:
    build = tiny(
        "Gemma3n",
        {"hidden_size": 32, "vocab_offset": 64, "vocab_size": 8},
        LAYERS
        | {
            "hidden_size_per_layer_input": 8,
            "vocab_size_per_layer_input": TEXT["vocab_size"],
            "num_kv_shared_layers": 0,
            "altup_num_inputs": 2,
            "laurel_rank": 8,
            "activation_sparsity_pattern": [0.0] * 4,
        },
        scale=2.0,
        audio_config={
            "vocab_offset": 72,
            "vocab_size": 8,
            "input_feat_size": 16,
            "hidden_size": 32,
            "conf_num_attention_heads": 2,
            "conf_num_hidden_layers": 1,
            "sscp_conv_channel_size": (4, 4),
        },
        vision_soft_tokens_per_image=36,
        image_token_id=IMAGE,
        boi_token_id=START,
        eoi_token_id=END,
        audio_token_id=59,
    )
    make = transformers.AutoModel.from_config

    def tower(part: Any, **options: Any) -> Any:
        return _Tower() if isinstance(part, transformers.Gemma3nVisionConfig) else make(part, **options)

    with patch.object(modeling_gemma3n.AutoModel, "from_config", tower):
        return build(attention)


def _image_typed(inputs: dict[str, Tensor], pieces: list[Piece]) -> dict[str, Tensor]:
    return concatenated(inputs | {"token_type_ids": (inputs["input_ids"] == IMAGE).long()}, pieces)


def _prefix_typed(inputs: dict[str, Tensor], pieces: list[Piece]) -> dict[str, Tensor]:
    return concatenated(inputs | {"token_type_ids": torch.zeros_like(inputs["input_ids"])}, pieces)


def _patches(frames: int, height: int, width: int, canvas: int, pool: int, *, video: bool = False) -> Make:
    """An image or a video as padded patches with their places; every frame has tokens around it."""

    def piece(generator: torch.Generator) -> Piece:
        count = height * width
        pixels = torch.zeros(frames, canvas, 3 * 4 * 4)
        pixels[:, :count] = torch.rand(frames, count, 3 * 4 * 4, generator=generator)
        places = torch.full((frames, canvas, 2), -1)
        places[:, :count, 0] = torch.arange(count) % width
        places[:, :count, 1] = torch.arange(count) // width
        kind = VIDEO if video else IMAGE
        ids = [START, *[kind] * (count // pool**2), END] * frames
        if not video:
            return Piece(ids, {"pixel_values": pixels, "image_position_ids": places})
        return Piece(
            ids,
            {
                "pixel_values_videos": pixels,
                "video_position_ids": places,
                "num_frames_per_video": torch.tensor([frames]),
            },
        )

    return piece


def _pieces(side: int, pool: int) -> dict[str, Make]:
    """Images of up to ``side x side`` patches, and videos of half as many per frame."""
    whole, half = side * side, side * side // 2
    return {
        "i": _patches(1, side, side, whole, pool),
        "j": _patches(1, side, side // 2, whole, pool),
        "v": _patches(2, side, side // 2, half, pool, video=True),
        "w": _patches(3, side, side // 2, half, pool, video=True),
    }


LENGTHS: Prompts = {"videos": [[2, "v", 1, "w", 5], [3, "w", 9]]}

_FRAME_COUNTS = dict.fromkeys((*VIDEOS, *LENGTHS), "5.23")
"""Before it Gemma 4 took other arguments with a video."""

NINE, ALL = ({"i": tiles(1, tokens, together)} for tokens in (9, 36))
PROMPTS = IMAGES | VIDEOS | LENGTHS

RECIPES = (
    Recipe("gemma3", _gemma3("Gemma3"), NINE, _image_typed, SAME),
    Recipe("shieldgemma2", _gemma3("ShieldGemma2"), NINE, _image_typed, SAME),
    Recipe("gemma3n", _gemma3n, ALL, _image_typed, SAME),
    Recipe(
        "gemma4",
        tiny(
            "Gemma4",
            without(VISION, "image_size")
            | {
                "num_key_value_heads": 2,
                "head_dim": 16,
                "pooling_kernel_size": 2,
                "position_embedding_size": 16,
            },
            LAYERS
            | {
                "global_head_dim": 32,
                "hidden_size_per_layer_input": 8,
                "vocab_size_per_layer_input": TEXT["vocab_size"],
                "use_bidirectional_attention": "vision",
            },
            scale=3.0,
            drawn=("patch_embedder.position_embedding_table",),
            **IDS,
        ),
        _pieces(8, 2),
        typed,
        PROMPTS,
        since=_FRAME_COUNTS,
    ),
    Recipe(
        "gemma4_unified",
        tiny(
            "Gemma4Unified",
            {
                "patch_size": 2,
                "pooling_kernel_size": 2,
                "mm_embed_dim": 64,
                "mm_posemb_size": 16,
                "output_proj_dims": 64,
            },
            LAYERS | {"global_head_dim": 32},
            scale=3.0,
            drawn=("embed_vision.pos_embedding",),
            **IDS,
        ),
        _pieces(4, 1),
        typed,
        PROMPTS,
        since=_FRAME_COUNTS,
    ),
    Recipe(
        "paligemma",
        tiny(
            "PaliGemma",
            SIGLIP,
            TEXT | {"model_type": "gemma"},
            scale=3.0,
            image_token_index=IMAGE,
            projection_dim=64,
            hidden_size=64,
        ),
        ALL,
        _prefix_typed,
        SAME,
    ),
)
