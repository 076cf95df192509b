"""The tiny LLaVA that most tests run, and inputs for it: random, built from a config, offline."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import signature

import torch
from transformers import LlavaModel

from tests.hf.families.llava import LLAVA, tiny_llava
from tests.hf.families.recipe import BOS_TOKEN, PAD_TOKEN, VOCABULARY, Part, batch
from tests.hf.families.recipe import IMAGE as IMAGE_TOKEN

__all__ = [
    "BOS_TOKEN",
    "CACHE",
    "ENCODES_FIRST",
    "IMAGE_TOKEN",
    "PAD_TOKEN",
    "TOKENS",
    "VOCABULARY",
    "prompts",
    "single",
    "tiny_llava",
]

TOKENS = 36
"""Visual tokens of an image of the tiny LLaVA: 24 x 24 pixels in patches of 4."""

ENCODES_FIRST = "mm_encoder_outputs" in signature(LlavaModel.forward).parameters
"""Whether this transformers encodes images once in ``generate``. Older ones repeat the pixels of
beams, and several images of a row in a wrong order."""

CACHE = "cache" if "cache" in signature(LlavaModel.forward).parameters else "past_key_values"
"""What this transformers calls the KV cache; it takes the other name, too."""


def prompts(rows: Sequence[Sequence[Part]], *, seed: int = 1, side: str = "left") -> dict[str, torch.Tensor]:
    """Inputs of a batch; see `tests.hf.families.recipe.batch`."""
    return batch(LLAVA, rows, seed=seed, side=side)


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
