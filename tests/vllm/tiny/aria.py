"""A tiny Aria, whose projector makes tokens of its own from an image's."""

from __future__ import annotations

import transformers

from tests.vllm.tiny.parts import TEXT, TOWER, chat_template, tokenizer


def aria():
    config = transformers.AriaConfig(
        vision_config=TOWER | {"model_type": "idefics3_vision", "image_size": 980, "patch_size": 70},
        text_config=TEXT
        | {"model_type": "aria_text", "moe_num_experts": 4, "moe_topk": 2, "moe_num_shared_experts": 1},
        projector_patch_to_query_dict={49: 16, 196: 16},
        image_token_index=4,
    )
    processor = transformers.AriaProcessor(
        transformers.AriaImageProcessor(max_image_size=490, min_image_size=70, split_image=False),
        tokenizer(["<unk>", "<s>", "</s>", "<pad>", "<image>"], {"image_token": "<image>"}),
        size_conversion={490: 16, 980: 16},
        chat_template=chat_template("<image>", ""),
    )
    return transformers.AriaForConditionalGeneration(config), processor
