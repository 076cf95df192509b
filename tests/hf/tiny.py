"""Tiny random models and inputs, built from configs, offline.

Random weights of the usual scale give nearly uniform attention and logits that hardly depend on the image,
and every test of a mask would pass. The weights are scaled up until attention matters: dropping a wrong token
then moves the logits by whole units.
"""

from __future__ import annotations

from collections.abc import Sequence
from inspect import signature
from typing import Any

import torch
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaModel,
)

IMAGE_TOKEN = 60
PAD_TOKEN = 0
BOS_TOKEN = 1
VOCABULARY = 64
TOKENS = 36
"""Visual tokens of an image of the tiny LLaVA: 24 x 24 pixels in patches of 4."""

ENCODES_FIRST = "mm_encoder_outputs" in signature(LlavaModel.forward).parameters
"""Whether this transformers encodes images once in ``generate``. Older ones repeat the pixels of
beams, and several images of a row in a wrong order."""

CACHE = "cache" if "cache" in signature(LlavaModel.forward).parameters else "past_key_values"
"""What this transformers calls the KV cache; it takes the other name, too."""

Part = str | int
"""``"i"`` for an image, or a number of random text tokens."""


def sharpen(model: torch.nn.Module, scale: float = 6.0) -> None:
    """Scale matrices up in place."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() >= 2:
                wide = "lm_head" in name or "embed" in name
                parameter.mul_(10.0 if wide else scale)


def tiny_llava(
    attention: str = "sdpa", layers: int = 4, seed: int = 0, **text: Any
) -> LlavaForConditionalGeneration:
    """A random LLaVA of a few thousand parameters; generation never stops early."""
    torch.manual_seed(seed)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=24,
            patch_size=4,
        ),
        text_config=LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=layers,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=512,
            pad_token_id=PAD_TOKEN,
            bos_token_id=BOS_TOKEN,
            eos_token_id=None,
            **text,
        ),
        image_token_index=IMAGE_TOKEN,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
    )
    config._attn_implementation = attention
    model = LlavaForConditionalGeneration(config).eval()
    sharpen(model)
    model.generation_config.pad_token_id = PAD_TOKEN
    model.generation_config.eos_token_id = None
    return model


def prompts(rows: Sequence[Sequence[Part]], *, seed: int = 1, side: str = "left") -> dict[str, torch.Tensor]:
    """Inputs of a batch, padded to one length.

    Args:
        rows: One sequence of parts per row; every row starts with the BOS token.
        seed: Seed of the text and the pictures.
        side: Where padding goes.

    Returns:
        ``input_ids`` and ``attention_mask``, and ``pixel_values`` if there is an image.
    """
    generator = torch.Generator().manual_seed(seed)
    ids = []
    for row in rows:
        tokens = [BOS_TOKEN]
        for part in row:
            if part == "i":
                tokens += [IMAGE_TOKEN] * TOKENS
            else:
                tokens += torch.randint(3, 59, (int(part),), generator=generator).tolist()
        ids.append(tokens)
    length = max(map(len, ids))

    def pad(values: list[int], fill: int) -> list[int]:
        padding = [fill] * (length - len(values))
        return padding + values if side == "left" else values + padding

    inputs = {
        "input_ids": torch.tensor([pad(tokens, PAD_TOKEN) for tokens in ids]),
        "attention_mask": torch.tensor([pad([1] * len(tokens), 0) for tokens in ids]),
    }
    images = sum(part == "i" for row in rows for part in row)
    if images:
        inputs["pixel_values"] = torch.randn(images, 3, 24, 24, generator=generator)
    return inputs


def single(inputs: dict[str, torch.Tensor], row: int) -> dict[str, torch.Tensor]:
    """One row of a batch by itself, without its padding."""
    real = inputs["attention_mask"][row].bool()
    ids = inputs["input_ids"][row][real][None]
    images = (inputs["input_ids"] == IMAGE_TOKEN).sum(1) // TOKENS
    first, count = int(images[:row].sum()), int(images[row])
    out = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if count:
        out["pixel_values"] = inputs["pixel_values"][first : first + count]
    return out
