"""vLLM's processors without an engine: what becomes of a prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from apet.vllm.plugin import PREFIX, register

NAMES = {
    "llava": "LlavaForConditionalGeneration",
    "llava_next": "LlavaNextForConditionalGeneration",
    "llava_onevision": "LlavaOnevisionForConditionalGeneration",
    "qwen2_5_vl": "Qwen2_5_VLForConditionalGeneration",
    "exaone4_5": "Exaone4_5_ForConditionalGeneration",
    "qwen3_vl": "Qwen3VLForConditionalGeneration",
    "qwen3_vl_moe": "Qwen3VLMoeForConditionalGeneration",
    "qwen3_5": "Qwen3_5ForConditionalGeneration",
    "qwen3_5_moe": "Qwen3_5MoeForConditionalGeneration",
    "internvl": "InternVLForConditionalGeneration",
    "interns1": "InternS1ForConditionalGeneration",
    "qwen2_vl": "Qwen2VLForConditionalGeneration",
    "internvl_chat": "InternVLChatModel",
    "gemma3": "Gemma3ForConditionalGeneration",
    "gemma4": "Gemma4ForConditionalGeneration",
    "granite4_vision": "Granite4VisionForConditionalGeneration",
    "paligemma": "PaliGemmaForConditionalGeneration",
    "gemma4_unified": "Gemma4UnifiedForConditionalGeneration",
    "minicpmv4_6": "MiniCPMV4_6ForConditionalGeneration",
    "minicpmv4_7": "MiniCPMV4_7ForConditionalGeneration",
    "aria": "AriaForConditionalGeneration",
    "cosmos3": "Cosmos3ForConditionalGeneration",
    "cosmos3_edge": "Cosmos3EdgeForConditionalGeneration",
    "qianfan_ocr": "QianfanOCRForConditionalGeneration",
    "cohere2_vision": "Cohere2VisionForConditionalGeneration",
    "lfm2_vl": "Lfm2VlForConditionalGeneration",
    "idefics3": "Idefics3ForConditionalGeneration",
    "smolvlm": "SmolVLMForConditionalGeneration",
    "mistral3": "Mistral3ForConditionalGeneration",
    "llava_next_video": "LlavaNextVideoForConditionalGeneration",
    "glm4v": "Glm4vForConditionalGeneration",
    "glm4v_moe": "Glm4vMoeForConditionalGeneration",
    "glm_ocr": "GlmOcrForConditionalGeneration",
    "paddleocr_vl": "PaddleOCRVLForConditionalGeneration",
}
"""The architecture of every tiny model."""
TIMED = ("qwen", "gemma4", "glm", "cosmos3")
"""Models, by how their names begin, that want to know when every frame was taken."""


def overrides(name: str, **options: Any) -> dict[str, Any]:
    """``--hf-overrides`` that ask for a model under compression; none without options."""
    return {"architectures": [PREFIX + NAMES[name]], "apet": options} if options else {}


def processor_of(folder: Path, name: str, enable_mm_embeds: bool = False, **options: Any) -> Any:
    """The processor that a server with these options would have."""
    from vllm.config import ModelConfig
    from vllm.multimodal import MULTIMODAL_REGISTRY

    register()
    config = ModelConfig(
        model=str(folder),
        dtype="float32",
        max_model_len=2048,
        enforce_eager=True,
        limit_mm_per_prompt={"image": 3, "video": 2},
        enable_mm_embeds=enable_mm_embeds,
        trust_remote_code=name == "internvl_chat",
        hf_overrides=overrides(name, **options),
    )
    return MULTIMODAL_REGISTRY.create_processor(config)


def picture(seed: int, width: int = 112, height: int = 112) -> Image.Image:
    """A picture of noise."""
    noise = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def film(seed: int, frames: int = 8, side: int = 112) -> tuple[np.ndarray, dict[str, Any]]:
    """A video of noise with what vLLM wants to know about it."""
    pixels = np.random.default_rng(seed).integers(0, 255, (frames, side, side, 3), dtype=np.uint8)
    about = {
        "fps": 2.0,
        "duration": frames / 2,
        "total_num_frames": frames,
        "frames_indices": list(range(frames)),
        "video_backend": "opencv",
        "do_sample_frames": False,
    }
    return pixels, about
