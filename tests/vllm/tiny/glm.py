"""Tiny GLM models, and PaddleOCR-VL."""

from __future__ import annotations

import transformers

from tests.vllm.tiny.parts import SIDE, TEXT, TOWER, chat_template, tokenizer

MARKS = {
    "image_start_token": "<|begin_of_image|>",
    "image_token": "<|image|>",
    "image_end_token": "<|end_of_image|>",
    "video_start_token": "<|begin_of_video|>",
    "video_token": "<|video|>",
    "video_end_token": "<|end_of_video|>",
}
IDS = {f"{name}_id": number for number, name in enumerate(MARKS, 4)}
VISION = {
    "depth": 2,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_heads": 2,
    "image_size": SIDE,
    "patch_size": 14,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "out_hidden_size": 128,
}
ROPE = {"rope_type": "default", "rope_theta": 10000.0}
HALF = {"mrope_section": [4, 6, 6], "partial_rotary_factor": 0.5}
GLM_TEXT = TEXT | {"head_dim": 64, "rope_parameters": ROPE | HALF}
EXPERTS = {
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_shared_experts": 1,
    "moe_intermediate_size": 64,
    "first_k_dense_replace": 1,
    "use_qk_norm": False,
}
SIZE = {"shortest_edge": 28 * 28 * 2, "longest_edge": 28 * 28 * 128}


def _processor():
    grid = {"patch_size": 14, "merge_size": 2, "temporal_patch_size": 2, "size": SIZE}
    return transformers.Glm4vProcessor(
        transformers.Glm4vImageProcessor(**grid),
        tokenizer(["<unk>", "<s>", "</s>", "<pad>", *MARKS.values()], MARKS),
        transformers.Glm4vVideoProcessor(**grid),
        chat_template=chat_template(
            "<|begin_of_image|><|image|><|end_of_image|>", "<|begin_of_video|><|video|><|end_of_video|>"
        ),
    )


def glm4v():
    config = transformers.Glm4vConfig(vision_config=VISION, text_config=GLM_TEXT, **IDS)
    return transformers.Glm4vForConditionalGeneration(config), _processor()


def glm4v_moe():
    config = transformers.Glm4vMoeConfig(vision_config=VISION, text_config=GLM_TEXT | EXPERTS, **IDS)
    return transformers.Glm4vMoeForConditionalGeneration(config), _processor()


def glm_ocr():
    text = {
        "intermediate_size": 3 * 128,  # vLLM's merger has this one, transformers' as many for every color
        # vLLM takes a half where it is not named, transformers all
        "rope_parameters": ROPE | {"mrope_section": [8, 12, 12], "partial_rotary_factor": 1.0},
    }
    config = transformers.GlmOcrConfig(vision_config=VISION, text_config=GLM_TEXT | text, **IDS)
    return transformers.GlmOcrForConditionalGeneration(config), _processor()


def paddleocr_vl():
    config = transformers.PaddleOCRVLConfig(
        vision_config=TOWER | {"spatial_merge_size": 2},
        text_config=TEXT | {"head_dim": 64, "rope_parameters": ROPE | {"mrope_section": [8, 12, 12]}},
        **IDS,
    )
    names = {"image_token": "<|image|>"}
    size = {"shortest_edge": 28 * 28, "longest_edge": 28 * 28 * 64}
    processor = transformers.PaddleOCRVLProcessor(
        transformers.PaddleOCRVLImageProcessor(size=size),
        tokenizer(["<unk>", "<s>", "</s>", "<pad>", *MARKS.values()], names),
        chat_template=chat_template("<|image|>", ""),
    )
    return transformers.PaddleOCRVLForConditionalGeneration(config), processor
