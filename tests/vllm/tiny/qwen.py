"""Tiny Qwen models: dense, with experts, with linear attention."""

from __future__ import annotations

import transformers

from tests.vllm.tiny.parts import TEXT, chat_template, tokenizer

QWEN_TOKENS = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|pad|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
]
QWEN_IDS = {
    "image_token_id": 6,
    "video_token_id": 7,
    "vision_start_token_id": 4,
    "vision_end_token_id": 5,
}
QWEN_CHAT = chat_template(
    "<|vision_start|><|image_pad|><|vision_end|>", "<|vision_start|><|video_pad|><|vision_end|>"
)


QWEN3_VISION = {
    "depth": 2,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_heads": 2,
    "out_hidden_size": 128,
    "patch_size": 16,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "num_position_embeddings": 64,
}
QWEN3_TEXT = {
    "head_dim": 64,
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 10000.0,
        "mrope_section": [12, 10, 10],
        "mrope_interleaved": True,
    },
}
LINEAR_TEXT = {
    "layer_types": ["linear_attention", "full_attention"],
    "linear_key_head_dim": 64,
    "linear_value_head_dim": 64,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
    "head_dim": 64,
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 10000.0,
        "mrope_section": [6, 5, 5],
        "mrope_interleaved": True,
        "partial_rotary_factor": 0.5,
    },
}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}


def qwen2_vl():
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [8, 12, 12]}
    config = transformers.Qwen2VLConfig(
        text_config=TEXT | {"rope_parameters": rope},
        vision_config={
            "depth": 2,
            "embed_dim": 64,
            "hidden_size": 128,
            "num_heads": 2,
            "mlp_ratio": 2,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
        },
        **QWEN_IDS,
    )
    return transformers.Qwen2VLForConditionalGeneration(config), _qwen2_processor(
        transformers.Qwen2VLProcessor
    )


def qwen2_5_vl():
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [8, 12, 12]}
    config = transformers.Qwen2_5_VLConfig(
        text_config=TEXT | {"rope_parameters": rope},
        vision_config={
            "depth": 2,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_heads": 2,
            "out_hidden_size": 128,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "window_size": 56,
            "fullatt_block_indexes": [1],
            "tokens_per_second": 2,
        },
        **QWEN_IDS,
    )
    processor = _qwen2_processor(transformers.Qwen2_5_VLProcessor)
    return transformers.Qwen2_5_VLForConditionalGeneration(config), processor


def exaone4_5():
    config = transformers.Exaone4_5_Config(
        text_config=TEXT
        | {
            "model_type": "exaone4",
            "head_dim": 64,
            "sliding_window": 1024,
            "layer_types": ["sliding_attention", "full_attention"],
        },
        vision_config={
            "depth": 2,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_heads": 2,
            "num_key_value_heads": 1,
            "out_hidden_size": 128,
            "window_size": 56,
            "fullatt_block_indexes": [1],
        },
        image_token_id=QWEN_IDS["image_token_id"],
        video_token_id=QWEN_IDS["video_token_id"],
    )
    return transformers.Exaone4_5_ForConditionalGeneration(config), _qwen2_processor(
        transformers.Exaone4_5_Processor
    )


def _qwen2_processor(kind):
    limits = {"min_pixels": 28 * 28, "max_pixels": 28 * 28 * 64}
    grid = {"patch_size": 14, "merge_size": 2, "temporal_patch_size": 2}
    return kind(
        transformers.Qwen2VLImageProcessor(**limits, **grid),
        tokenizer(QWEN_TOKENS),
        transformers.Qwen2VLVideoProcessor(**limits, **grid),
        chat_template=QWEN_CHAT,
    )


def qwen3_vl():
    config = transformers.Qwen3VLConfig(
        text_config=TEXT | QWEN3_TEXT,
        vision_config=QWEN3_VISION | {"depth": 3, "deepstack_visual_indexes": [0, 1]},
        **QWEN_IDS,
    )
    return transformers.Qwen3VLForConditionalGeneration(config), _qwen3_processor()


def cosmos3():
    """Saved under names of its own."""
    config = transformers.Cosmos3OmniConfig(
        text_config=TEXT | QWEN3_TEXT | {"model_type": "qwen3_vl_text"},
        vision_config=QWEN3_VISION
        | {"model_type": "qwen3_vl_vision", "depth": 3, "deepstack_visual_indexes": [0, 1]},
        **QWEN_IDS,
    )
    return transformers.Cosmos3OmniForConditionalGeneration(config), _qwen3_processor()


def cosmos3_edge():
    vision = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_patches": 64,
        "spatial_merge_size": 2,
    }
    config = transformers.Cosmos3EdgeConfig(
        text_config=TEXT | QWEN3_TEXT | {"model_type": "cosmos3_edge_text"},
        vision_config=vision,
        projector_hidden_size=256,
        # vLLM reads it here
        projector_config={
            "input_hidden_size": 64,
            "spatial_merge_size": 2,
            "merger_intermediate_size": 256,
            "out_hidden_size": 128,
        },
        **QWEN_IDS,
    )
    processor = transformers.Cosmos3EdgeProcessor(
        transformers.Cosmos3EdgeImageProcessor(size={"shortest_edge": 32 * 32, "longest_edge": 32 * 32 * 64}),
        tokenizer(QWEN_TOKENS),
        transformers.Cosmos3EdgeVideoProcessor(do_sample_frames=False),
        chat_template=QWEN_CHAT,
    )
    return transformers.Cosmos3EdgeForConditionalGeneration(config), processor


def qwen3_vl_moe():
    config = transformers.Qwen3VLMoeConfig(
        text_config=TEXT | QWEN3_TEXT | EXPERTS | {"norm_topk_prob": True},
        vision_config=QWEN3_VISION | {"depth": 3, "deepstack_visual_indexes": [0, 1]},
        **QWEN_IDS,
    )
    return transformers.Qwen3VLMoeForConditionalGeneration(config), _qwen3_processor()


def qwen3_5():
    config = transformers.Qwen3_5Config(
        text_config=TEXT | LINEAR_TEXT, vision_config=QWEN3_VISION, **QWEN_IDS
    )
    return transformers.Qwen3_5ForConditionalGeneration(config), _qwen3_processor()


def qwen3_5_moe():
    config = transformers.Qwen3_5MoeConfig(
        text_config=TEXT | LINEAR_TEXT | EXPERTS | {"shared_expert_intermediate_size": 64},
        vision_config=QWEN3_VISION,
        **QWEN_IDS,
    )
    return transformers.Qwen3_5MoeForConditionalGeneration(config), _qwen3_processor()


def _qwen3_processor():
    grid = {"patch_size": 16, "merge_size": 2, "temporal_patch_size": 2}
    half = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}  # vLLM has one norm for images and videos
    return transformers.Qwen3VLProcessor(
        transformers.Qwen2VLImageProcessor(min_pixels=32 * 32, max_pixels=32 * 32 * 64, **grid, **half),
        tokenizer(QWEN_TOKENS),
        transformers.Qwen3VLVideoProcessor(**grid, **half),
        chat_template=QWEN_CHAT,
    )
