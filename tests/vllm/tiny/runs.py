"""Tiny models whose tiles stand between tokens of their own."""

from __future__ import annotations

import transformers

from tests.vllm.tiny.parts import SIDE, TEXT, TOWER, chat_template, tokenizer

HALF = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
START = ["<unk>", "<s>", "</s>", "<pad>"]
LLAMA = TEXT | {"head_dim": 64}


def cohere2_vision():
    names = {
        "image_token": "<|IMG_PATCH|>",
        "boi_token": "<|START_OF_IMG|>",
        "eoi_token": "<|END_OF_IMG|>",
        "img_line_break_token": "<|IMG_LINE_BREAK|>",
    }
    text = TEXT | {"sliding_window": 1024, "logit_scale": 1.0, "layer_norm_eps": 1e-5}
    config = transformers.Cohere2VisionConfig(
        vision_config=transformers.SiglipVisionConfig(**TOWER, vision_use_head=False),
        text_config=transformers.Cohere2Config(**text),
        image_token_id=4,
        downsample_factor=2,
        alignment_intermediate_size=256,
    )
    size = {"height": SIDE, "width": SIDE}
    processor = transformers.Cohere2VisionProcessor(
        transformers.Cohere2VisionImageProcessor(size=size, max_patches=4, patch_size=4),
        tokenizer([*START, *names.values()], names),
        chat_template=chat_template("<|IMG_PATCH|>", ""),
    )
    return transformers.Cohere2VisionForConditionalGeneration(config), processor


ROWS = [f"<row_{row}_col_{column}>" for row in (1, 2) for column in (1, 2)]
IDEFICS = {
    "image_token": "<image>",
    "fake_image_token": "<fake_token_around_image>",
    "global_image_token": "<global-img>",
}
IDEFICS |= {"end_of_utterance_token": "<end_of_utterance>"}


def _idefics(config, model, processor):
    built = config(
        vision_config=TOWER,
        text_config=transformers.LlamaConfig(**LLAMA),
        image_token_id=4,
        scale_factor=2,
        pad_token_id=3,
    )
    return model(built), processor


def idefics3():
    images = transformers.Idefics3ImageProcessor(
        size={"longest_edge": 2 * SIDE}, max_image_size={"longest_edge": SIDE}, **HALF
    )
    processor = transformers.Idefics3Processor(
        images,
        tokenizer([*START, *IDEFICS.values(), *ROWS, "\n"], IDEFICS),
        image_seq_len=16,
        chat_template=chat_template("<image>", ""),
    )
    return _idefics(transformers.Idefics3Config, transformers.Idefics3ForConditionalGeneration, processor)


def smolvlm():
    sizes = {"size": {"longest_edge": 2 * SIDE}, "max_image_size": {"longest_edge": SIDE}}
    processor = transformers.SmolVLMProcessor(
        transformers.SmolVLMImageProcessor(**sizes, **HALF),
        tokenizer([*START, *IDEFICS.values(), *ROWS, "\n"], IDEFICS),
        transformers.SmolVLMVideoProcessor(**sizes, **HALF),
        image_seq_len=16,
        chat_template=chat_template("<image>", ""),
    )
    return _idefics(transformers.SmolVLMConfig, transformers.SmolVLMForConditionalGeneration, processor)


def lfm2_vl():
    names = {
        "image_token": "<image>",
        "image_start_token": "<|image_start|>",
        "image_end_token": "<|image_end|>",
        "image_thumbnail_token": "<|img_thumbnail|>",
    }
    tiles = [f"<|img_row_{row}_col_{column}|>" for row in (1, 2) for column in (1, 2)]
    vision = {name: value for name, value in TOWER.items() if name != "image_size"}
    text = {
        "model_type": "lfm2",
        "layer_types": ["conv", "full_attention"],
        "block_auto_adjust_ff_dim": False,
        # Several, as LFM2 hands them over, vLLM's rotary kernel for CPUs turns by wrong angles
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
        # vLLM wants them, transformers takes the hidden size
        "block_dim": TEXT["hidden_size"],
        "conv_dim": TEXT["hidden_size"],
        "architectures": ["Lfm2ForCausalLM"],
    }
    config = transformers.Lfm2VlConfig(
        vision_config=vision
        | {"model_type": "siglip2_vision_model", "num_patches": 64, "vision_use_head": False},
        text_config=TEXT | text,
        image_token_id=4,
        projector_hidden_size=128,
    )
    images = transformers.Lfm2VlImageProcessor(
        encoder_patch_size=14,
        tile_size=SIDE,
        max_tiles=4,
        min_image_tokens=4,
        max_image_tokens=16,
        max_num_patches=64,
    )
    processor = transformers.Lfm2VlProcessor(
        images,
        tokenizer([*START, *names.values(), *tiles], names),
        chat_template=chat_template("<image>", ""),
    )
    return transformers.Lfm2VlForConditionalGeneration(config), processor
