"""The embedded model's shape: a LLaVA of 336 x 336 pixels and 576 visual tokens, small enough to ship."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    CLIPVisionConfig,
    Dinov2Config,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PreTrainedTokenizerFast,
)

from apet.scenes.questions import TEMPLATES
from apet.scenes.scene import PATCH, SIZE
from apet.scenes.vocabulary import COLOURS, REGIONS, SHAPES
from training.labels import CHARS

SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "<image>")

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['content'] is string %}{% set parts = [{'type': 'text', 'text': message['content']}] %}"
    "{% else %}{% set parts = message['content'] %}{% endif %}"
    "{% for part in parts %}"
    "{% if part['type'] == 'image' %}<image>"
    "{% elif message['role'] == 'user' %}{{ part['text'] | lower | trim }}"
    "{% else %}{{ part['text'] | trim }}{% endif %}"
    "{% endfor %}"
    "{{ '\n' if message['role'] == 'user' else eos_token }}"
    "{% endfor %}"
)
"""Pictures, then the question in lower case and a line break; the answer follows."""


def build_tokenizer(more: str = "") -> PreTrainedTokenizerFast:
    """Whole lower-case words, single capitals and digits.

    A word and the same word after a space are two tokens, so that decoding joins tokens without a separator.

    Args:
        more: Words beside those of the drawn scenes.
    """
    text = " ".join(t for wordings in TEMPLATES.values() for t in wordings)
    text += " ".join(
        [
            *COLOURS,
            *SHAPES,
            *(f"{s}s" for s in SHAPES),
            "crosses shapes yes no",
            *(name for row in REGIONS for name in row),
            more,
        ]
    )
    words = sorted(set(re.findall("[a-z]+", re.sub(r"\{.\}", " ", text))))
    vocabulary = [*SPECIAL, "\n", " ", "?", ",", ".", *CHARS, *words, *(f" {word}" for word in words)]
    tokenizer = Tokenizer(models.WordLevel({t: i for i, t in enumerate(vocabulary)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(
        Regex(r" ?[a-z]+|[A-Z0-9]|\n|[^a-zA-Z0-9\n ]| "), "isolated"
    )
    tokenizer.decoder = decoders.Fuse()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        extra_special_tokens={"image_token": "<image>"},
        padding_side="left",
        model_max_length=4096,
        clean_up_tokenization_spaces=False,
    )


def build_model(tokenizer: PreTrainedTokenizerFast, seed: int = 0) -> LlavaForConditionalGeneration:
    """A LLaVA of about 9 million random parameters; the decoder sees the last vision layer's patches."""
    torch.manual_seed(seed)
    vision = CLIPVisionConfig(
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=5,
        num_attention_heads=4,
        image_size=SIZE,
        patch_size=PATCH,
    )
    return llava_around(vision, tokenizer, vision_feature_layer=-1)


def llava_around(
    vision: CLIPVisionConfig | Dinov2Config, tokenizer: PreTrainedTokenizerFast, vision_feature_layer: int
) -> LlavaForConditionalGeneration:
    """A LLaVA of the small decoder around an encoder of pictures of ``SIZE``; all weights are random."""
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=640,
        num_hidden_layers=8,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=False,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=SPECIAL.index("<image>"),
        image_seq_length=(SIZE // PATCH) ** 2,
        vision_feature_layer=vision_feature_layer,
        vision_feature_select_strategy="default",
        tie_word_embeddings=False,
    )
    return LlavaForConditionalGeneration(config)


def save(model: LlavaForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Writes a checkpoint that plain transformers loads: config, weights, tokenizer, processor settings."""
    from transformers import CLIPImageProcessorPil, LlavaProcessor

    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.bos_token_id = tokenizer.bos_token_id
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.max_new_tokens = 12
    model.save_pretrained(folder)
    images = CLIPImageProcessorPil(
        size={"height": SIZE, "width": SIZE},
        crop_size={"height": SIZE, "width": SIZE},
        do_center_crop=False,
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.25, 0.25, 0.25],
    )
    LlavaProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
    ).save_pretrained(folder)
