"""Tiny LLaVA models and their relatives: images of one size, or in tiles."""

from __future__ import annotations

from typing import Any

from tests.hf.families.build import (
    CLIP,
    LLAMA,
    MISTRAL,
    PLAIN_TEXT,
    QWEN2,
    SAM,
    SIGLIP,
    TEXT,
    VISION,
    tiny,
    without,
)
from tests.hf.families.enclosed import first_named
from tests.hf.families.pieces import anyres, bare, clip, concatenated, stacked, tile_pair, tiles
from tests.hf.families.recipe import IMAGE, IMAGES, SAME, VIDEO, VIDEOS, Piece, Recipe

INDEX = {"image_token_index": IMAGE}
BOTH = INDEX | {"video_token_index": VIDEO}
ID = {"image_token_id": IMAGE}
PINPOINTS = [[24, 48], [48, 24], [48, 48]]
NEXT: dict[str, Any] = {"image_grid_pinpoints": PINPOINTS, "vision_feature_layer": -1}
NEWLINE: dict[str, Any] = {"drawn": ("model.image_newline",)}
GRANITE = PLAIN_TEXT | {
    "embedding_multiplier": 1.0,
    "residual_multiplier": 1.0,
    "attention_multiplier": 0.25,
    "logits_scaling": 1.0,
}
CONVNEXT = {
    "model_type": "convnext",
    "num_stages": 1,
    "hidden_sizes": [32],
    "depths": [2],
    "patch_size": 4,
    "image_size": 24,
    "layer_scale_init_value": 1.0,
    "hidden_size": 32,
}
"""FastVLM's own tower comes from timm; any with a map of channels as its output does."""


JANUS = without(VISION, "intermediate_size") | {
    "mlp_ratio": 2.0,
    "projection_dim": 64,
    "num_image_tokens": 36,
}
MADE = {
    "num_embeddings": 16,
    "latent_channels": 32,
    "base_channels": 32,
    "channel_multiplier": [1, 1],
    "num_res_blocks": 1,
    "projection_dim": 64,
    "image_token_embed_dim": 64,
}
"""Janus' own images are made with these, not those that it sees."""
DOCLING = tiny(
    "GraniteDocling",
    VISION | {"out_hidden_size": 64, "scale_factor": 2, "deepstack_visual_indexes": [0, 1]},
    GRANITE,
    pad_token_id=0,
    **ID,
)
NEXT_TILES = {"i": anyres(24, 48, 6, 12), "j": anyres(48, 48, 12, 12)}


def tiny_llava(attention: str = "sdpa", layers: int = 4, seed: int = 0, **text: Any) -> Any:
    """A random LLaVA of a few thousand parameters."""
    text = LLAMA | {"num_hidden_layers": layers} | text
    build = tiny(
        "Llava",
        CLIP,
        text,
        scale=6.0,
        seed=seed,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        **INDEX,
    )
    return build(attention)


LLAVA = Recipe("llava", tiny_llava, {"i": tiles(1, 36, bare)}, concatenated, SAME)


def _only_text(build: Any) -> Any:
    return lambda attention: build({"": attention, "text_config": attention, "vision_config": "eager"})


def _both_sizes(generator: Any) -> Piece:
    small = tiles(1, 36, bare)(generator)
    large = tiles(1, 36, bare, 48)(generator).tensors["pixel_values"]
    return Piece(small.ids, small.tensors | {"high_res_pixel_values": large})


def _two_tiles(generator: Any) -> Piece:
    image = tiles(2, 9, bare)(generator)
    return Piece(image.ids, {"pixel_values": image.tensors["pixel_values"][None]})


RECIPES = (
    LLAVA,
    Recipe(
        "llava_next",
        tiny("LlavaNext", CLIP, MISTRAL, **NEWLINE, **INDEX, **NEXT),
        NEXT_TILES,
        concatenated,
        IMAGES,
    ),
    Recipe(
        "llava_next_video",
        tiny("LlavaNextVideo", CLIP, LLAMA, **NEWLINE, **BOTH, **NEXT),
        NEXT_TILES | {"v": clip(3, 3 * 9)},  # frames pooled to 3 x 3
        concatenated,
        IMAGES | VIDEOS,
    ),
    Recipe(
        "llava_onevision",
        tiny(
            "LlavaOnevision",
            SIGLIP | {"vision_use_head": True},
            QWEN2,
            vision_aspect_ratio="anyres_max_9",
            vision_feature_select_strategy="full",
            **NEWLINE,
            **BOTH,
            **NEXT,
        ),
        {"i": anyres(24, 48, 6, 12), "j": anyres(48, 24, 12, 6), "v": clip(4, 4 * 9 + 1)},
        concatenated,
        IMAGES | VIDEOS,
    ),
    Recipe(
        "video_llava",
        tiny(
            "VideoLlava",
            CLIP,
            LLAMA,
            vision_feature_layer=-1,
            vision_feature_select_strategy="default",
            image_seq_length=36,
            video_seq_length=37 * 8,
            **BOTH,
        ),
        {"i": tiles(1, 36, bare), "v": clip(3, 3 * 37)},
        concatenated,
        SAME | VIDEOS,
    ),
    Recipe(
        "vipllava",
        tiny("VipLlava", CLIP, LLAMA, vision_feature_layer=[-1, -2], **INDEX),
        {"i": tiles(1, 36, bare)},
        concatenated,
        SAME,
        since={"": "5.23"},
    ),
    Recipe(
        "fast_vlm",
        _only_text(tiny("FastVlm", CONVNEXT, QWEN2, **INDEX)),
        {"i": tiles(1, 36, bare)},
        concatenated,
        SAME,
    ),
    Recipe(
        "perception_lm",  # the checkpoints' tower is one of timm's; any with a class token does
        tiny(
            "PerceptionLM",
            CLIP | {"model_args": {"embed_dim": VISION["hidden_size"]}},
            LLAMA,
            vision_use_cls_token=True,
            projector_pooling_ratio=2,
            image_token_id=IMAGE,
            video_token_id=VIDEO,
        ),
        {"i": _two_tiles, "v": clip(3, 3 * 9)},
        concatenated,
        SAME | VIDEOS,
    ),
    Recipe(
        "deepseek_vl",
        tiny("DeepseekVL", SIGLIP, LLAMA, **ID),
        {"i": tiles(1, 36, bare)},
        concatenated,
        SAME,
    ),
    Recipe(
        "deepseek_vl_hybrid",
        tiny(
            "DeepseekVLHybrid",
            SIGLIP,
            LLAMA,
            high_res_vision_config=SAM | {"model_type": "sam_vision_model"},
            scale=3.0,
            **ID,
        ),
        {"i": _both_sizes},
        concatenated,
        SAME,
    ),
    Recipe(
        "janus",
        tiny("Janus", JANUS, LLAMA, vq_config=MADE, **ID),
        {"i": tiles(1, 36, bare)},
        concatenated,
        SAME,
    ),
    Recipe(
        "aria",
        tiny(
            "Aria",
            VISION | {"model_type": "idefics3_vision", "image_size": 48},
            TEXT
            | {"model_type": "aria_text", "moe_num_experts": 4, "moe_topk": 2, "moe_num_shared_experts": 1},
            projector_patch_to_query_dict={36: 12, 144: 20},
            **INDEX,
        ),
        {"i": tiles(1, 12, bare, masked=True), "j": tiles(1, 20, bare, 48, masked=True)},
        concatenated,
        SAME | {"large image": [["j", 5], [3, "j", 9]]},  # one size per call
    ),
    Recipe(
        "granite4_vision",
        tiny(
            "Granite4Vision",
            SIGLIP | {"hidden_size": 64},
            GRANITE | {"num_hidden_layers": 5},
            scale=3.0,
            drawn=("model.image_newline", ".query", ".image_positions"),
            qformer_config={
                "model_type": "blip_2_qformer",
                "num_hidden_layers": 1,
                "cross_attention_frequency": 1,
                "intermediate_size": 64,
            },
            image_grid_pinpoints=PINPOINTS,
            vision_feature_select_strategy="full",
            downsample_rate="1/2",
            deepstack_layer_map=[[0, 1], [1, 0]],
            spatial_vision_layer=-1,
            spatial_target_layers=[2, 2, 2, 2],
            **INDEX,
        ),
        {"i": anyres(24, 48, 3, 6, 9), "j": anyres(48, 48, 6, 6, 9)},
        concatenated,
        IMAGES,
        layer=3,
    ),
    Recipe("granite_docling", DOCLING, tile_pair(1, 3, 9, first_named), stacked(9, marks=True), IMAGES),
    Recipe(
        "granite_docling fine",
        DOCLING,
        tile_pair(1, 3, 36, first_named),
        stacked(36, marks=True, fine=True),
        IMAGES,
    ),
)
