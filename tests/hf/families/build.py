"""One builder of tiny models, and the sizes that they share: a recipe says what is its own.

Where a type's sub-config is a class of its own, ``model_type`` names it.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
import transformers

from tests.hf.families.recipe import BOS_TOKEN, END, IMAGE, PAD_TOKEN, START, VIDEO, VOCABULARY

Sizes = dict[str, Any]
Build = Callable[[Any], Any]

TEXT: Sizes = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
    "pad_token_id": PAD_TOKEN,
    "bos_token_id": BOS_TOKEN,
    "eos_token_id": None,
}
VISION: Sizes = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 24,
    "patch_size": 4,
}
GRID: Sizes = {
    "depth": 2,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_heads": 2,
    "patch_size": 4,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "out_hidden_size": 64,
}
"""Encoders of grids of any size, as Qwen's are."""
SAM: Sizes = {
    "hidden_size": 32,
    "output_channels": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 48,
    "patch_size": 4,
    "window_size": 4,
    "global_attn_indexes": [1],
    "mlp_dim": 64,
    "initializer_range": 0.02,
}


def without(sizes: Sizes, *names: str) -> Sizes:
    return {name: value for name, value in sizes.items() if name not in names}


PLAIN_TEXT = without(TEXT, "head_dim")
"""For text models whose head size is the width over the heads."""
ROPE: Sizes = {"rope_type": "default", "rope_theta": 10000.0}
MROPE = ROPE | {"mrope_section": [2, 3, 3]}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
ROUTED = {"n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
SLIDING: Sizes = {"sliding_window": 512, "layer_types": ["sliding_attention", "full_attention"] * 2}
FULL: Sizes = {"layer_types": ["full_attention"] * 4}
UNTIED = {"tie_word_embeddings": False}

LLAMA = TEXT | {"model_type": "llama"}
MISTRAL = TEXT | {"model_type": "mistral", "sliding_window": None}
QWEN2 = PLAIN_TEXT | {"model_type": "qwen2"}
MROPE_TEXT = PLAIN_TEXT | {"rope_parameters": MROPE}
INTERLEAVED = {"num_hidden_layers": 5, "rope_parameters": MROPE | {"mrope_interleaved": True}}
"""Five layers: the first three add features of the encoder's own layers."""

CLIP = VISION | {"model_type": "clip_vision_model"}
SIGLIP = VISION | {"model_type": "siglip_vision_model", "vision_use_head": False}
PIXTRAL = VISION | {"model_type": "pixtral", "head_dim": 16, "image_size": 64}
SQUARE = VISION | {"image_size": [24, 24], "patch_size": [4, 4]}
WINDOWED = GRID | {"window_size": 16, "fullatt_block_indexes": [1]}
POSITIONED = GRID | {"num_position_embeddings": 64}
DEEP = POSITIONED | {"depth": 3, "deepstack_visual_indexes": [0, 1]}

PLACEHOLDERS = {"image_token_id": IMAGE, "video_token_id": VIDEO}
AROUND = {"vision_start_token_id": START, "vision_end_token_id": END}
IDS = PLACEHOLDERS | AROUND
BOUNDS = {"image_start_token_id": START, "image_end_token_id": END}


def sharpen(model: torch.nn.Module, scale: float = 6.0) -> None:
    """Scale matrices up in place.

    Random weights of the usual scale give nearly uniform attention, logits that hardly depend on the image,
    and every test of a mask would pass. Scaled up, dropping a wrong token moves the logits by whole units.
    """
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() >= 2:
                wide = "lm_head" in name or "embed" in name
                parameter.mul_(10.0 if wide else scale)


def finished(cls: Any, config: Any, attention: Any, scale: float = 5.0, seed: int = 0) -> Any:
    """A random model whose attention matters; generation never stops early."""
    config._attn_implementation = attention
    torch.manual_seed(seed)
    model = cls(config).eval()
    sharpen(model, scale)
    model.generation_config.pad_token_id = PAD_TOKEN
    model.generation_config.eos_token_id = None
    return model


def tiny(
    kind: str,
    vision: Sizes | None,
    text: Sizes,
    *,
    model: str = "",
    scale: float = 5.0,
    seed: int = 0,
    drawn: tuple[str, ...] = (),
    spread: float = 1.0,
    **top: Any,
) -> Build:
    """What builds a random model for an attention implementation.

    Args:
        kind: The type as transformers' classes begin with it, such as ``"Qwen2VL"``.
        vision: Its vision config.
        text: Its text config.
        model: The model's class, where it is not ``<kind>ForConditionalGeneration``.
        scale: By how much matrices are scaled up.
        seed: Seed of the weights.
        drawn: Ends of the names of parameters that are all alike at first; they are drawn anew.
        spread: Standard deviation of those.
        top: What else the config takes.
    """
    parts = {"text_config": text} | ({} if vision is None else {"vision_config": vision}) | top

    def build(attention: Any) -> Any:
        config = getattr(transformers, f"{kind}Config")(**deepcopy(parts))  # configs write into theirs
        made = finished(
            getattr(transformers, model or f"{kind}ForConditionalGeneration"), config, attention, scale, seed
        )
        with torch.no_grad():
            for name, parameter in made.named_parameters():
                if drawn and name.endswith(drawn):
                    parameter.normal_(std=spread)
        return made

    return build
