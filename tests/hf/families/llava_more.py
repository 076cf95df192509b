"""Tiny models of more relatives of LLaVA."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers
from transformers import CLIPVisionConfig, LlamaConfig, Qwen2Config, SiglipVisionConfig

from tests.hf.families.llava import PINPOINTS
from tests.hf.families.llava import RECIPES as LLAVA
from tests.hf.families.recipe import (
    IMAGE,
    IMAGES,
    PLAIN_TEXT,
    SAME,
    TEXT,
    VIDEO,
    VIDEOS,
    VISION,
    Piece,
    Recipe,
    concatenated,
    finished,
)

_TILES = next(recipe for recipe in LLAVA if recipe.name == "llava_next").pieces


def _picture(tokens: int, side: int = 24, *, masked: bool = False) -> Callable[[torch.Generator], Piece]:
    """A square image; ``masked`` adds a mask of its pixels."""

    def piece(generator: torch.Generator) -> Piece:
        tensors = {"pixel_values": torch.randn(1, 3, side, side, generator=generator)}
        if masked:
            tensors["pixel_mask"] = torch.ones(1, side, side, dtype=torch.bool)
        return Piece([IMAGE] * tokens, tensors)

    return piece


def _next_video(attention: str) -> Any:
    config = transformers.LlavaNextVideoConfig(
        vision_config=CLIPVisionConfig(**VISION),
        text_config=LlamaConfig(**TEXT),
        image_token_index=IMAGE,
        video_token_index=VIDEO,
        image_grid_pinpoints=PINPOINTS,
        vision_feature_layer=-1,
    )
    model = finished(transformers.LlavaNextVideoForConditionalGeneration, config, attention)
    with torch.no_grad():
        model.model.image_newline.normal_()
    return model


def _next_video_frames(generator: torch.Generator) -> Piece:
    pixels = torch.randn(1, 3, 3, 24, 24, generator=generator)
    return Piece([VIDEO] * (3 * 9), {"pixel_values_videos": pixels})  # frames pooled to 3 x 3


def _vip(attention: str) -> Any:
    config = transformers.VipLlavaConfig(
        vision_config=CLIPVisionConfig(**VISION),
        text_config=LlamaConfig(**TEXT),
        image_token_index=IMAGE,
        vision_feature_layer=[-1, -2],
    )
    return finished(transformers.VipLlavaForConditionalGeneration, config, attention)


def _fast(attention: str) -> Any:
    """FastVLM's own tower comes from timm; any with a map of channels as its output does."""
    config = transformers.FastVlmConfig(
        vision_config=transformers.ConvNextConfig(
            num_stages=1,
            hidden_sizes=[32],
            depths=[2],
            patch_size=4,
            image_size=24,
            layer_scale_init_value=1.0,
            hidden_size=32,
        ),
        text_config=Qwen2Config(**PLAIN_TEXT),
        image_token_index=IMAGE,
    )
    only_text: Any = {"": attention, "text_config": attention, "vision_config": "eager"}
    return finished(transformers.FastVlmForConditionalGeneration, config, only_text)


def _deepseek(attention: str) -> Any:
    config = transformers.DeepseekVLConfig(
        vision_config=SiglipVisionConfig(**VISION, vision_use_head=False),
        text_config=LlamaConfig(**TEXT),
        image_token_id=IMAGE,
    )
    return finished(transformers.DeepseekVLForConditionalGeneration, config, attention)


def _janus(attention: str) -> Any:
    vision = {name: value for name, value in VISION.items() if name != "intermediate_size"}
    config = transformers.JanusConfig(
        vision_config=vision | {"mlp_ratio": 2.0, "projection_dim": 64, "num_image_tokens": 36},
        text_config=LlamaConfig(**TEXT),
        vq_config={  # for the images that it makes, not for those it sees
            "num_embeddings": 16,
            "latent_channels": 32,
            "base_channels": 32,
            "channel_multiplier": [1, 1],
            "num_res_blocks": 1,
            "projection_dim": 64,
            "image_token_embed_dim": 64,
        },
        image_token_id=IMAGE,
    )
    return finished(transformers.JanusForConditionalGeneration, config, attention)


def _aria(attention: str) -> Any:
    config = transformers.AriaConfig(
        vision_config=VISION | {"model_type": "idefics3_vision", "image_size": 48},
        text_config=TEXT
        | {"model_type": "aria_text", "moe_num_experts": 4, "moe_topk": 2, "moe_num_shared_experts": 1},
        projector_patch_to_query_dict={36: 12, 144: 20},
        image_token_index=IMAGE,
    )
    return finished(transformers.AriaForConditionalGeneration, config, attention)


RECIPES = (
    Recipe(
        "aria",
        _aria,
        {"i": _picture(12, masked=True), "j": _picture(20, 48, masked=True)},
        concatenated,
        SAME | {"large image": [["j", 5], [3, "j", 9]]},  # one size per call
    ),
    Recipe("deepseek_vl", _deepseek, {"i": _picture(36)}, concatenated, SAME),
    Recipe("fast_vlm", _fast, {"i": _picture(36)}, concatenated, SAME),
    Recipe("janus", _janus, {"i": _picture(36)}, concatenated, SAME),
    Recipe(
        "llava_next_video",
        _next_video,
        _TILES | {"v": _next_video_frames},
        concatenated,
        IMAGES | VIDEOS,
    ),
    Recipe("vipllava", _vip, {"i": _picture(36)}, concatenated, SAME, since={"": "5.23"}),
)
