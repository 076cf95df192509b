"""Tiny Gemma models with vision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import torch
import transformers
from torch import Tensor
from transformers import SiglipVisionConfig
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.gemma3n import modeling_gemma3n

from tests.hf.families.recipe import (
    END,
    IMAGE,
    IMAGES,
    SAME,
    START,
    TEXT,
    VIDEO,
    VIDEOS,
    VISION,
    Piece,
    Recipe,
    concatenated,
    finished,
)

LAYERS = {"sliding_window": 512, "layer_types": ["sliding_attention", "full_attention"] * 2}
IDS = {"image_token_id": IMAGE, "video_token_id": VIDEO, "boi_token_id": START, "eoi_token_id": END}


def _gemma3(config: str) -> Callable[[str], Any]:
    def build(attention: str) -> Any:
        made = getattr(transformers, config)(
            vision_config=SiglipVisionConfig(**VISION, vision_use_head=False),
            text_config=TEXT | LAYERS | {"query_pre_attn_scalar": 16, "model_type": "gemma3_text"},
            image_token_index=IMAGE,
            boi_token_index=START,
            eoi_token_index=END,
            mm_tokens_per_image=9,
        )
        model = finished(transformers.Gemma3ForConditionalGeneration, made, attention, 3.0)
        with torch.no_grad():
            model.model.multi_modal_projector.mm_input_projection_weight.normal_(std=0.3)  # zeros at first
        return model

    return build


class _Tower(torch.nn.Module):
    """Stands for Gemma 3n's own tower, which comes from timm: a map of channels."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = torch.nn.Conv2d(3, 32, 4, stride=4)

    def forward(self, pixel_values: Tensor, **_: Any) -> BaseModelOutputWithPooling:
        return BaseModelOutputWithPooling(last_hidden_state=self.patches(pixel_values).tanh())


def _gemma3n(attention: str) -> Any:
    config = transformers.Gemma3nConfig(
        vision_config={"hidden_size": 32, "vocab_offset": 64, "vocab_size": 8},
        text_config=TEXT
        | LAYERS
        | {
            "hidden_size_per_layer_input": 8,
            "vocab_size_per_layer_input": TEXT["vocab_size"],
            "num_kv_shared_layers": 0,
            "altup_num_inputs": 2,
            "laurel_rank": 8,
            "activation_sparsity_pattern": [0.0] * 4,
        },
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
        return _Tower() if part is config.vision_config else make(part, **options)

    with patch.object(modeling_gemma3n.AutoModel, "from_config", tower):
        return finished(transformers.Gemma3nForConditionalGeneration, config, attention, 2.0)


def _siglip(tokens: int) -> Callable[[torch.Generator], Piece]:
    def piece(generator: torch.Generator) -> Piece:
        pixels = torch.randn(1, 3, 24, 24, generator=generator)
        return Piece([START, *[IMAGE] * tokens, END], {"pixel_values": pixels})

    return piece


def _image_typed(inputs: dict[str, Tensor], pieces: list[Piece]) -> dict[str, Tensor]:
    return concatenated(inputs | {"token_type_ids": (inputs["input_ids"] == IMAGE).long()}, pieces)


def _prefix_typed(inputs: dict[str, Tensor], pieces: list[Piece]) -> dict[str, Tensor]:
    return concatenated(inputs | {"token_type_ids": torch.zeros_like(inputs["input_ids"])}, pieces)


def _paligemma(attention: str) -> Any:
    config = transformers.PaliGemmaConfig(
        vision_config=SiglipVisionConfig(**VISION, vision_use_head=False),
        text_config=TEXT | {"model_type": "gemma"},
        image_token_index=IMAGE,
        projection_dim=64,
        hidden_size=64,
    )
    return finished(transformers.PaliGemmaForConditionalGeneration, config, attention, 3.0)


def _gemma4(attention: str) -> Any:
    text = {
        "global_head_dim": 32,
        "hidden_size_per_layer_input": 8,
        "vocab_size_per_layer_input": TEXT["vocab_size"],
        "use_bidirectional_attention": "vision",
    }
    config = transformers.Gemma4Config(
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "patch_size": 4,
            "pooling_kernel_size": 2,
            "position_embedding_size": 16,
        },
        text_config=TEXT | LAYERS | text,
        **IDS,
    )
    model = finished(transformers.Gemma4ForConditionalGeneration, config, attention, 3.0)
    with torch.no_grad():
        model.model.vision_tower.patch_embedder.position_embedding_table.normal_()  # ones at first
    return model


def _gemma4_unified(attention: str) -> Any:
    config = transformers.Gemma4UnifiedConfig(
        vision_config={
            "patch_size": 2,
            "pooling_kernel_size": 2,
            "mm_embed_dim": 64,
            "mm_posemb_size": 16,
            "output_proj_dims": 64,
        },
        text_config=TEXT | LAYERS | {"global_head_dim": 32},
        **IDS,
    )
    model = finished(transformers.Gemma4UnifiedForConditionalGeneration, config, attention, 3.0)
    with torch.no_grad():
        model.model.embed_vision.pos_embedding.normal_()  # zeros at first
    return model


def _patches(frames: int, height: int, width: int, canvas: int, pool: int, *, video: bool = False) -> Any:
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


def _typed(inputs: dict[str, Tensor], pieces: list[Piece]) -> dict[str, Tensor]:
    ids = inputs["input_ids"]
    kinds = (ids == IMAGE).long() + 2 * (ids == VIDEO).long()
    return concatenated(inputs | {"mm_token_type_ids": kinds}, pieces)


def _pieces(side: int, pool: int) -> dict[str, Callable[[torch.Generator], Piece]]:
    """Images of up to ``side x side`` patches, and videos of half as many per frame."""
    whole, half = side * side, side * side // 2
    return {
        "i": _patches(1, side, side, whole, pool),
        "j": _patches(1, side, side // 2, whole, pool),
        "v": _patches(2, side, side // 2, half, pool, video=True),
        "w": _patches(3, side, side // 2, half, pool, video=True),
    }


LENGTHS: dict[str, list[list[str | int]]] = {"videos": [[2, "v", 1, "w", 5], [3, "w", 9]]}

_FRAME_COUNTS = dict.fromkeys((*VIDEOS, *LENGTHS), "5.23")
"""Before it Gemma 4 took other arguments with a video."""

RECIPES = (
    Recipe("gemma3", _gemma3("Gemma3Config"), {"i": _siglip(9)}, _image_typed, SAME),
    Recipe("gemma3n", _gemma3n, {"i": _siglip(36)}, _image_typed, SAME),
    Recipe("shieldgemma2", _gemma3("ShieldGemma2Config"), {"i": _siglip(9)}, _image_typed, SAME),
    Recipe("gemma4", _gemma4, _pieces(8, 2), _typed, IMAGES | VIDEOS | LENGTHS, since=_FRAME_COUNTS),
    Recipe(
        "gemma4_unified",
        _gemma4_unified,
        _pieces(4, 1),
        _typed,
        IMAGES | VIDEOS | LENGTHS,
        since=_FRAME_COUNTS,
    ),
    Recipe("paligemma", _paligemma, {"i": _siglip(36)}, _prefix_typed, SAME),
)
