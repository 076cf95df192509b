"""Configurations of well-known models, as their checkpoints on the Hub state them."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

_CLIP = {
    "model_type": "clip_vision_model",
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "image_size": 336,
    "patch_size": 14,
}
_VICUNA = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "vocab_size": 32064,
    "max_position_embeddings": 4096,
}
_LLAVA = {
    "vision_config": _CLIP,
    "text_config": _VICUNA,
    "image_token_index": 32000,
    "vision_feature_layer": -2,
    "vision_feature_select_strategy": "default",
    "tie_word_embeddings": False,
}

KNOWN: dict[str, dict[str, Any]] = {
    "llava-1.5-7b": {"model_type": "llava", **_LLAVA},
    "llava-next-7b": {
        "model_type": "llava_next",
        **_LLAVA,
        "image_grid_pinpoints": [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]],
    },
    "video-llava-7b": {
        "model_type": "video_llava",
        **_LLAVA,
        "vision_config": {**_CLIP, "image_size": 224},
        "video_token_index": 32001,
        "image_seq_length": 256,
        "video_seq_length": 2056,
    },
    "qwen2.5-vl-7b": {
        "model_type": "qwen2_5_vl",
        "tie_word_embeddings": False,
        "vision_config": {"hidden_size": 1280, "out_hidden_size": 3584},
        "text_config": {
            "hidden_size": 3584,
            "intermediate_size": 18944,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "vocab_size": 152064,
        },
    },
    "qwen2.5-vl-3b": {
        "model_type": "qwen2_5_vl",
        "tie_word_embeddings": True,
        "vision_config": {
            "hidden_size": 1280,
            "intermediate_size": 3420,
            "num_heads": 16,
            "out_hidden_size": 2048,
        },
        "text_config": {
            "hidden_size": 2048,
            "intermediate_size": 11008,
            "num_hidden_layers": 36,
            "num_attention_heads": 16,
            "num_key_value_heads": 2,
            "vocab_size": 151936,
        },
    },
    "qwen3-vl-8b": {
        "model_type": "qwen3_vl",
        "tie_word_embeddings": False,
        "vision_config": {
            "hidden_size": 1152,
            "intermediate_size": 4304,
            "depth": 27,
            "out_hidden_size": 4096,
            "deepstack_visual_indexes": [8, 16, 24],
        },
        "text_config": {
            "hidden_size": 4096,
            "intermediate_size": 12288,
            "num_hidden_layers": 36,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "vocab_size": 151936,
        },
    },
}
"""By the name that ``apet plan`` takes."""

_SMALL_TEXT = {
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "vocab_size": 200,
    "max_position_embeddings": 1024,
}
_SMALL_TOWER = {"hidden_size": 32, "intermediate_size": 32}


def configuration_of(settings: dict[str, Any]) -> Any:
    """Makes the configuration object of an entry."""
    from transformers import AutoConfig

    fields = deepcopy(settings)
    return AutoConfig.for_model(fields.pop("model_type"), **fields)


def tiny(settings: dict[str, Any]) -> dict[str, Any]:
    """The same family with four decoder layers and small widths: a run proves the code, not the speed."""
    small = deepcopy(settings)
    small["text_config"] |= _SMALL_TEXT
    small["image_token_id" if "qwen" in small["model_type"] else "image_token_index"] = 150
    if "qwen" in small["model_type"]:
        small |= {"video_token_id": 151, "vision_start_token_id": 152}
        rope = {"rope_type": "default", "mrope_section": [4, 6, 6], "rope_theta": 1e4}
        small["text_config"] |= {"rope_parameters": rope}
        small["vision_config"] = {**_SMALL_TOWER, "out_hidden_size": 64, "depth": 1, "num_heads": 2}
        if small["model_type"] == "qwen3_vl":
            small["text_config"] |= {"head_dim": 32}
            small["vision_config"] |= {"deepstack_visual_indexes": [0], "num_position_embeddings": 144}
        return small
    side = 84
    small["vision_config"] |= {
        **_SMALL_TOWER,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": side,
    }
    if "image_grid_pinpoints" in small:
        full = settings["vision_config"]["image_size"]
        small["image_grid_pinpoints"] = [
            [a // full * side, b // full * side] for a, b in settings["image_grid_pinpoints"]
        ]
    if "video_token_index" in small:
        patches = (side // small["vision_config"]["patch_size"]) ** 2
        small |= {
            "video_token_index": 151,
            "image_seq_length": patches,
            "video_seq_length": 8 * (patches + 1),
        }
    return small
