"""Tiny LLaVA models."""

from __future__ import annotations

import transformers

from tests.vllm.tiny.parts import SIDE, TEXT, TOWER, chat_template, tokenizer

LLAVA_TOKENS = ["<unk>", "<s>", "</s>", "<pad>", "<image>", "<video>"]
PINPOINTS = [[112, 224], [224, 112], [224, 224]]
LLAVA_CHAT = chat_template("<image>\n", "<video>\n")


def clip_processor(kind, images):
    return kind(
        images,
        tokenizer(LLAVA_TOKENS),
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=LLAVA_CHAT,
    )


def llava():
    vision = transformers.CLIPVisionConfig(**TOWER)
    config = transformers.LlavaConfig(
        vision_config=vision,
        text_config=transformers.LlamaConfig(**TEXT, head_dim=64),
        image_token_index=4,
        image_seq_length=64,
        vision_feature_layer=-2,
    )
    images = transformers.CLIPImageProcessor(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
    )
    processor = clip_processor(transformers.LlavaProcessor, images)
    return transformers.LlavaForConditionalGeneration(config), processor


def llava_next():
    config = transformers.LlavaNextConfig(
        vision_config=transformers.CLIPVisionConfig(**TOWER),
        text_config=transformers.LlamaConfig(**TEXT, head_dim=64),
        image_token_index=4,
        image_grid_pinpoints=PINPOINTS,
        vision_feature_layer=-2,
    )
    images = transformers.LlavaNextImageProcessor(
        size={"shortest_edge": SIDE},
        crop_size={"height": SIDE, "width": SIDE},
        image_grid_pinpoints=PINPOINTS,
    )
    processor = clip_processor(transformers.LlavaNextProcessor, images)
    return transformers.LlavaNextForConditionalGeneration(config), processor


def llava_onevision():
    config = transformers.LlavaOnevisionConfig(
        vision_config=transformers.SiglipVisionConfig(**TOWER, vision_use_head=False),
        text_config=transformers.Qwen2Config(**TEXT),
        image_token_index=4,
        video_token_index=5,
        image_grid_pinpoints=PINPOINTS,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )
    images = transformers.LlavaOnevisionImageProcessor(
        size={"height": SIDE, "width": SIDE}, image_grid_pinpoints=PINPOINTS
    )
    videos = transformers.LlavaOnevisionVideoProcessor(size={"height": SIDE, "width": SIDE})
    processor = transformers.LlavaOnevisionProcessor(
        images,
        tokenizer(LLAVA_TOKENS),
        videos,
        num_image_tokens=64,
        vision_feature_select_strategy="full",
        chat_template=LLAVA_CHAT,
    )
    return transformers.LlavaOnevisionForConditionalGeneration(config), processor


def llava_next_video():
    config = transformers.LlavaNextVideoConfig(
        # vLLM divides the side by that of a patch twice
        vision_config=transformers.CLIPVisionConfig(**TOWER | {"patch_size": 8}),
        text_config=transformers.LlamaConfig(**TEXT, head_dim=64),
        image_token_index=4,
        video_token_index=5,
        image_grid_pinpoints=PINPOINTS,
        image_seq_length=196,
        vision_feature_layer=-2,
        spatial_pool_stride=2,
    )
    side = {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}}
    processor = transformers.LlavaNextVideoProcessor(
        transformers.LlavaNextVideoVideoProcessor(**side),
        transformers.LlavaNextImageProcessor(**side, image_grid_pinpoints=PINPOINTS),
        tokenizer(LLAVA_TOKENS),
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=LLAVA_CHAT,
    )
    return transformers.LlavaNextVideoForConditionalGeneration(config), processor


def granite4_vision():
    multipliers = {"embedding_multiplier": 2.0, "residual_multiplier": 0.7, "attention_multiplier": 0.1}
    config = transformers.Granite4VisionConfig(
        vision_config=transformers.SiglipVisionConfig(**TOWER | {"patch_size": 7}, vision_use_head=False),
        text_config=TEXT | multipliers | {"num_hidden_layers": 6, "logits_scaling": 0.5},
        image_token_index=4,
        image_grid_pinpoints=PINPOINTS,
        vision_feature_select_strategy="full",
        downsample_rate="1/2",
        deepstack_layer_map=[[-2, 1], [-1, 0]],
        spatial_target_layers=[2, 3, 4, 5],
    )
    side = {"height": SIDE, "width": SIDE}
    processor = transformers.Granite4VisionProcessor(
        transformers.LlavaNextImageProcessor(size=side, crop_size=side, image_grid_pinpoints=PINPOINTS),
        tokenizer(LLAVA_TOKENS),
        patch_size=7,
        vision_feature_select_strategy="full",
        downsample_rate="1/2",
        chat_template=LLAVA_CHAT,
    )
    return transformers.Granite4VisionForConditionalGeneration(config), processor
