"""Tiny models with Pixtral's encoder."""

from __future__ import annotations

import transformers

from tests.vllm.tiny.parts import SIDE, TEXT, chat_template, tokenizer

NAMES = {"image_token": "[IMG]", "image_break_token": "[IMG_BREAK]", "image_end_token": "[IMG_END]"}
VISION = {
    "model_type": "pixtral",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "head_dim": 32,
    "image_size": 2 * SIDE,
    "patch_size": 14,
}


def _images(names):
    return {
        "image_processor": transformers.PixtralImageProcessor(
            size={"longest_edge": 2 * SIDE}, patch_size={"height": 28, "width": 28}
        ),
        "tokenizer": tokenizer(["<unk>", "<s>", "</s>", "<pad>", *names.values()], names),
        "patch_size": 14,
        "spatial_merge_size": 2,
        "chat_template": chat_template(names["image_token"], ""),
    }


def mistral3():
    config = transformers.Mistral3Config(
        vision_config=VISION,
        text_config=TEXT | {"model_type": "mistral", "sliding_window": None, "head_dim": 64},
        image_token_index=4,
        spatial_merge_size=2,
        vision_feature_layer=-1,
    )
    return transformers.Mistral3ForConditionalGeneration(config), transformers.PixtralProcessor(
        **_images(NAMES)
    )
