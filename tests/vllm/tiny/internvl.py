"""A tiny InternVL, as transformers and as its makers publish it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file

from tests.vllm.tiny.parts import SIDE, TEXT, TOWER, chat_template, tokenizer

NAMES = {
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "context_image_token": "<IMG_CONTEXT>",
    "video_token": "<video>",
}
PUBLISHED = ("<image>", "<|video_pad|>")
"""What stands for an image in a prompt, and inside a video, with the makers' code."""
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
VISION = TOWER | {"num_hidden_layers": 2}


def internvl():
    config = transformers.InternVLConfig(
        vision_config=VISION | {"image_size": [SIDE, SIDE], "patch_size": [14, 14]},
        text_config=transformers.Qwen2Config(**TEXT),
        image_token_id=6,
        image_seq_length=16,
        downsample_ratio=0.5,
    )
    size = {"height": SIDE, "width": SIDE}
    processor = transformers.InternVLProcessor(
        transformers.GotOcr2ImageProcessor(
            size=size, crop_to_patches=True, min_patches=1, max_patches=4, **IMAGENET
        ),
        tokenizer(["<unk>", "<s>", "</s>", "<pad>", *NAMES.values(), *PUBLISHED], NAMES),
        transformers.InternVLVideoProcessor(size=size, **IMAGENET),
        image_seq_length=16,
        chat_template=chat_template("<IMG_CONTEXT>\n", "<video>\n"),
    )
    return transformers.InternVLForConditionalGeneration(config), processor


def qianfan_ocr():
    config = transformers.QianfanOCRConfig(
        vision_config=VISION | {"image_size": SIDE, "patch_size": 14},
        text_config=transformers.Qwen3Config(**TEXT, head_dim=64),
        image_token_id=6,
        image_seq_length=16,
        downsample_ratio=0.5,
        max_dynamic_patch=4,
        force_image_size=SIDE,
    )
    _, processor = internvl()
    return transformers.QianfanOCRForConditionalGeneration(config), transformers.QianfanOCRProcessor(
        processor.image_processor,
        processor.tokenizer,
        image_seq_length=16,
        chat_template=chat_template("<image>\n", ""),
    )


CODE = """from transformers import PretrainedConfig, Qwen2Config


class InternVLChatConfig(PretrainedConfig):
    model_type = "internvl_chat"

    def __init__(self, vision_config=None, llm_config=None, **rest):
        self.vision_config = PretrainedConfig(**(vision_config or {}))
        self.llm_config = Qwen2Config(**(llm_config or {}))
        super().__init__(**rest)
"""
"""A config of a class that transformers does not have comes with its code."""
RENAMED = {
    "model.vision_tower.embeddings.cls_token": "vision_model.embeddings.class_embedding",
    "model.vision_tower.embeddings.position_embeddings": "vision_model.embeddings.position_embedding",
    "model.vision_tower.embeddings.patch_embeddings.projection": "vision_model.embeddings.patch_embedding",
    "model.vision_tower.encoder.layer": "vision_model.encoder.layers",
    "model.multi_modal_projector.layer_norm": "mlp1.0",
    "model.multi_modal_projector.linear_1": "mlp1.1",
    "model.multi_modal_projector.linear_2": "mlp1.3",
    "model.language_model": "language_model.model",
    "lm_head": "language_model.lm_head",
    "attention.projection_layer": "attn.proj",
    "layernorm_before": "norm1",
    "layernorm_after": "norm2",
    "lambda_1": "ls1",
    "lambda_2": "ls2",
}


def save_as_published(model: Any, processor: Any, folder: Path) -> None:
    """Writes the same weights as a checkpoint for ``InternVLChatModel``, which brings no processor."""
    weights = {}
    for name, value in model.state_dict().items():
        new = name
        for old, other in RENAMED.items():
            new = new.replace(old, other, 1)
        if new.endswith("q_proj.weight") and "vision_model" in new:
            parts = [
                model.state_dict()[name.replace("q_proj", part)] for part in ("q_proj", "k_proj", "v_proj")
            ]
            weights[new.replace("attention.q_proj", "attn.qkv")] = torch.cat(parts)
        elif not ("vision_model" in new and "_proj.weight" in new):
            weights[new] = value.clone()  # two names may be tied
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = {
        "architectures": ["InternVLChatModel"],
        "auto_map": {"AutoConfig": "configuration_internvl_chat.InternVLChatConfig"},
        "model_type": "internvl_chat",
        "vision_config": VISION
        | {
            "model_type": "intern_vit_6b",
            "hidden_act": "gelu",
            "initializer_factor": 0.1,
            "layer_norm_eps": 1e-6,
            "norm_type": "layer_norm",
            "qk_normalization": False,
            "qkv_bias": False,
        },
        "llm_config": model.config.text_config.to_dict() | {"architectures": ["Qwen2ForCausalLM"]},
        "downsample_ratio": 0.5,
        "dynamic_image_size": True,
        "force_image_size": SIDE,
        "max_dynamic_patch": 4,
        "min_dynamic_patch": 1,
        "ps_version": "v2",
        "select_layer": -1,
        "use_thumbnail": True,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "configuration_internvl_chat.py").write_text(CODE, encoding="utf-8")
    processor.tokenizer.save_pretrained(folder)


def as_vllm_reads_it(folder: Path) -> None:
    """Sides as numbers, which transformers reads as well; and names that transformers gave back wrongly."""
    path, weights = folder / "config.json", folder / "model.safetensors"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["vision_config"] |= {"image_size": SIDE, "patch_size": 14}
    path.write_text(json.dumps(config), encoding="utf-8")
    named = {}
    for name, value in load_file(weights).items():
        own = name.replace("language_model.model.encoder.layers", "language_model.model.layers")
        named[own] = value
    save_file(named, weights, metadata={"format": "pt"})
