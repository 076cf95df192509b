"""Tiny random models as checkpoints with a processor and a tokenizer, for vLLM and transformers alike.

    python -m tests.vllm.tiny NAME FOLDER

Weights are drawn wide, so that attention matters and a wrong token moves the log-probabilities by far more
than the tests allow.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from tests.vllm.tiny.aria import aria
from tests.vllm.tiny.gemma import gemma3, gemma4, gemma4_unified, paligemma
from tests.vllm.tiny.glm import glm4v, glm4v_moe, glm_ocr, paddleocr_vl
from tests.vllm.tiny.internvl import as_vllm_reads_it, internvl, qianfan_ocr, save_as_published
from tests.vllm.tiny.llava import granite4_vision, llava, llava_next, llava_next_video, llava_onevision
from tests.vllm.tiny.minicpm import minicpmv4_6, minicpmv4_7
from tests.vllm.tiny.mistral import mistral3
from tests.vllm.tiny.qwen import (
    cosmos3,
    cosmos3_edge,
    exaone4_5,
    qwen2_5_vl,
    qwen2_vl,
    qwen3_5,
    qwen3_5_moe,
    qwen3_vl,
    qwen3_vl_moe,
)
from tests.vllm.tiny.runs import cohere2_vision, idefics3, lfm2_vl, smolvlm

__all__ = ["MODELS", "TRANSFORMERS", "save"]

MODELS = {
    build.__name__: build
    for build in (
        llava,
        llava_next,
        llava_onevision,
        qwen2_vl,
        qwen2_5_vl,
        exaone4_5,
        qwen3_vl,
        qwen3_vl_moe,
        qwen3_5,
        qwen3_5_moe,
        internvl,
        gemma3,
        gemma4,
        gemma4_unified,
        paligemma,
        granite4_vision,
        aria,
        cosmos3,
        cosmos3_edge,
        qianfan_ocr,
        cohere2_vision,
        idefics3,
        lfm2_vl,
        smolvlm,
        llava_next_video,
        glm4v,
        glm4v_moe,
        glm_ocr,
        paddleocr_vl,
        mistral3,
        minicpmv4_6,
        minicpmv4_7,
    )
} | {"internvl_chat": internvl, "interns1": internvl}
TRANSFORMERS = "transformers"
"""Folder inside a checkpoint with the same model as transformers has it, where that is another one."""


def save(name: str, folder: Path) -> None:
    """Builds a model and writes it, its processor and its tokenizer."""
    torch.manual_seed(0)
    model, processor = MODELS[name]()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.08)
        if hasattr(getattr(model, "model", None), "image_newline"):
            model.model.image_newline.normal_(0, 0.5)
    model.float().eval()
    if name == "internvl_chat":
        save_as_published(model, processor, folder)
        folder = folder / TRANSFORMERS
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    weights = folder / "model.safetensors"
    if name == "qianfan_ocr":
        as_vllm_reads_it(folder)
    if name == "cosmos3_edge":
        named = {_visual_name(key): value for key, value in load_file(weights).items()}
        save_file(named, weights, metadata={"format": "pt"})
    if name.startswith("cosmos3"):  # vLLM looks for it where a pipeline of several models has its transformer
        (folder / "transformer").mkdir()
        (folder / "transformer" / weights.name).write_bytes(weights.read_bytes())
        config = (folder / "config.json").read_text(encoding="utf-8")
        (folder / "config.json").write_text(config.replace("Cosmos3OmniFor", "Cosmos3For"), encoding="utf-8")
    if name.startswith("llava"):
        named = {_older_name(key): value for key, value in load_file(weights).items()}
        save_file(named, weights, metadata={"format": "pt"})
    if name == "qwen3_vl_moe":
        turned = {key: _as_published(key, value) for key, value in load_file(weights).items()}
        save_file(turned, weights, metadata={"format": "pt"})


def _older_name(key: str) -> str:
    """The name of the encoder's weights that vLLM's own classes know, and transformers still reads."""
    head, found, rest = key.partition("vision_tower.")
    return key if not found or rest.startswith("vision_model.") else f"{head}{found}vision_model.{rest}"


def _visual_name(key: str) -> str:
    """As published: transformers renames the encoder's layers, too, when it renames those of the text."""
    return key.replace("up_proj", "fc1").replace("down_proj", "fc2") if ".visual." in key else key


def _as_published(key: str, value: torch.Tensor) -> torch.Tensor:
    """Experts' weights as published checkpoints have them: vLLM reads no others, transformers both."""
    return value.transpose(1, 2).contiguous() if ".mlp.experts." in key else value
