"""How to ask each tiny model, and what it takes."""

from __future__ import annotations

from typing import Any

from tests.vllm.engine import request
from tests.vllm.processing import overrides

LLAVA = {"image": "<image>", "video": "<video>"}
QWEN = {
    "image": "<|vision_start|><|image_pad|><|vision_end|>",
    "video": "<|vision_start|><|video_pad|><|vision_end|>",
}
# With everything kept, vLLM answers otherwise about GLM's videos than transformers.
GLM = {"image": "<|begin_of_image|><|image|><|end_of_image|>"}
MINICPM = {"image": "<|image_pad|>", "video": "<|video_pad|>"}
MARKS = {
    "llava": {"image": "<image>"},
    "llava_next": {"image": "<image>"},
    "llava_onevision": LLAVA,
    "qwen2_vl": QWEN,
    "qwen2_5_vl": QWEN,
    "exaone4_5": {"image": "<vision><|image_pad|></vision>", "video": "<vision><|video_pad|></vision>"},
    "qwen3_vl": QWEN,
    "qwen3_vl_moe": QWEN,
    "qwen3_5": QWEN,
    "qwen3_5_moe": QWEN,
    "internvl": {"image": "<IMG_CONTEXT>", "video": "<video>"},
    "interns1": {"image": "<IMG_CONTEXT>", "video": "<video>"},
    "internvl_chat": LLAVA,
    "gemma3": {"image": "<start_of_image>"},
    "paligemma": {"image": ""},
    "granite4_vision": {"image": "<image>"},
    "cohere2_vision": {"image": "<|IMG_PATCH|>"},
    "lfm2_vl": {"image": "<image>"},
    "idefics3": {"image": "<image>"},
    "smolvlm": {"image": "<image>"},
    "mistral3": {"image": "[IMG]"},
    "llava_next_video": {"video": "<video>"},
    "glm4v": GLM,
    "glm4v_moe": GLM,
    "glm_ocr": GLM,
    "paddleocr_vl": {"image": "<|image|>"},
    "gemma4": {"image": "<|image|>", "video": "<|video|>"},
    "gemma4_unified": {"image": "<|image|>", "video": "<|video|>"},
    "minicpmv4_6": MINICPM,
    "minicpmv4_7": MINICPM,
    "aria": {"image": "<image>"},
    "cosmos3": QWEN,
    "cosmos3_edge": QWEN,
    "qianfan_ocr": {"image": "<image>"},
}
"""What stands for an image or a video in a prompt, for every tiny model."""
QUESTION = " what is in the picture and what is not in the picture? say what it is"
"""Long enough that a prompt fills blocks of the prefix cache."""

HALF = {"dtype": "bfloat16"}
ENGINE = dict.fromkeys(("qwen3_5", "qwen3_5_moe", "minicpmv4_6", "minicpmv4_7"), HALF) | {
    "internvl_chat": {"trust_remote_code": True},
    "paligemma": {"limit_mm_per_prompt": {"image": 1}},
}
"""Options of the engine. vLLM's linear attention on CPUs takes nothing wider than bfloat16."""
EXACT = [name for name in MARKS if ENGINE.get(name) is not HALF]
"""Models that can be compared with another engine; bfloat16 is too coarse for that."""

# Sizes that InternVL cuts into tiles without resizing: the makers' code rounds otherwise than transformers.
SIZES = dict.fromkeys(("internvl_chat", "qianfan_ocr"), ([2, 224, 112], [3, 112, 224]))
# Of pictures that are no squares, vLLM numbers the patches of Aria's encoder otherwise than transformers.
SIZES["aria"] = ([2, 112, 112], [3, 224, 224])
# Above the encoder's own size, MiniCPM cuts slices.
SIZES |= dict.fromkeys(("minicpmv4_6", "minicpmv4_7"), ([2, 336, 224], [3, 224, 448]))
# Other sizes than the encoder's own, vLLM interpolates otherwise than transformers.
SIZES["paddleocr_vl"] = ([2, 112, 112], [3, 112, 112])
SINGLE = ("paligemma",)
"""Models whose prompts have one image."""
# Behind a Qwen2.5 video, transformers 5 numbers the text on from its rows and columns alone, vLLM from its
# last frame as well. With frames of 8 x 8 tokens, 4 of them at 2 positions each, the two are one.
FILM = {"qwen2_5_vl": [4, 8, 224]}


def requests_of(name: str, **options: Any) -> dict[str, dict[str, Any]]:
    """One image, two of different sizes, and a video where the model takes one."""
    found = {}
    if "image" in MARKS[name]:
        image, sizes = MARKS[name]["image"], list(SIZES.get(name, ([2, 168, 112], [3, 112, 224])))
        found["image"] = request(image + QUESTION, [[1, 112, 112]], **options)
    if "image" in MARKS[name] and name not in SINGLE:
        found["images"] = request(f"so: {image} and {image}{QUESTION}", sizes, **options)
    if "video" in MARKS[name]:
        found["video"] = request(
            f"so: {MARKS[name]['video']}{QUESTION}", videos=[FILM.get(name, [4, 8, 112])], **options
        )
    return found


def longer(name: str) -> dict[str, Any]:
    """A plain engine that keeps half of the tokens, and answers at length."""
    return {
        "hf_overrides": overrides(name, keep=0.5),
        "enable_prefix_caching": False,
        "max_model_len": 512,
        "tokens": 40,
    } | ENGINE.get(name, {})
