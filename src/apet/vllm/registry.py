"""The architectures of vLLM that are served under compression, and why others are not.

    python -m apet.vllm.registry

prints the table of the documentation.
"""

from __future__ import annotations

__all__ = ["ARCHITECTURES", "BUDGETS", "UNSUPPORTED", "table"]

_HOME = "apet.vllm.families"
_CLASSES: dict[str, dict[str, str]] = {
    "llava": {"LlavaForConditionalGeneration": "ApETLlava"},
    "llava_next": {"LlavaNextForConditionalGeneration": "ApETLlavaNext"},
    "llava_onevision": {"LlavaOnevisionForConditionalGeneration": "ApETLlavaOnevision"},
    "qwen2_vl": {
        "Qwen2VLForConditionalGeneration": "ApETQwen2VL",
        "Qwen2_5_VLForConditionalGeneration": "ApETQwen25VL",
    },
    "qwen3_vl": {
        "Qwen3VLForConditionalGeneration": "ApETQwen3VL",
        "Qwen3VLMoeForConditionalGeneration": "ApETQwen3VLMoe",
        "Qwen3_5ForConditionalGeneration": "ApETQwen35",
        "Qwen3_5MoeForConditionalGeneration": "ApETQwen35Moe",
    },
    "internvl": {
        "InternVLForConditionalGeneration": "ApETInternVL",
        "InternS1ForConditionalGeneration": "ApETInternVL",
        "InternVLChatModel": "ApETInternVLChat",
    },
    "gemma": {
        "Gemma3ForConditionalGeneration": "ApETGemma3",
        "Gemma4ForConditionalGeneration": "ApETGemma4",
    },
    "llava_next_video": {"LlavaNextVideoForConditionalGeneration": "ApETLlavaNextVideo"},
    "glm": {
        "Glm4vForConditionalGeneration": "ApETGlm4v",
        "Glm4vMoeForConditionalGeneration": "ApETGlm4vMoe",
    },
    "paddleocr": {"PaddleOCRVLForConditionalGeneration": "ApETPaddleOCRVL"},
    "mistral": {"Mistral3ForConditionalGeneration": "ApETMistral3"},
    "runs": {
        "Cohere2VisionForConditionalGeneration": "ApETCohere2Vision",
        "Idefics3ForConditionalGeneration": "ApETIdefics3",
        "SmolVLMForConditionalGeneration": "ApETSmolVLM",
    },
}
BUDGETS: dict[str, str] = {
    "llava": "image",
    "llava_next": "tile; newlines stay",
    "llava_onevision": "tile, frame; newlines stay",
    "qwen2_vl": "image, frame",
    "qwen3_vl": "image, frame",
    "internvl": "tile, frame",
    "gemma": "image, crop (Gemma 3), frame (Gemma 4)",
    "llava_next_video": "frame (videos only)",
    "glm": "image, frame",
    "paddleocr": "image",
    "mistral": "image; ends of rows stay",
    "runs": "tile",
}
"""What has a budget of its own, by family."""
ARCHITECTURES: dict[str, str] = {
    architecture: f"{_HOME}.{family}:{name}"
    for family, classes in _CLASSES.items()
    for architecture, name in classes.items()
}
"""The class that serves an architecture with compression, by the name that a model's config has for it."""

_MAKERS = "transformers has no such model that it could be compared with"
_DIFFERS = "answers otherwise in vLLM than in transformers with everything kept, so nothing can be compared"
UNSUPPORTED: dict[str, str] = {
    "DotsOCRForCausalLM": _MAKERS,
    "Ernie4_5_VLMoeForConditionalGeneration": "vLLM takes the makers' processor, which transformers lacks",
    "Exaone4_5_ForConditionalGeneration": _DIFFERS,
    "GlmOcrForConditionalGeneration": _DIFFERS,
    "KeyeForConditionalGeneration": _MAKERS,
    "KeyeVL1_5ForConditionalGeneration": _MAKERS,
    "KimiVLForConditionalGeneration": _MAKERS,
    "Lfm2VlForConditionalGeneration": _DIFFERS,
    "LightOnOCRForConditionalGeneration": "no checkpoint loads in both vLLM and transformers 5.19",
    "Llama4ForConditionalGeneration": "vLLM's CPU build cannot run its encoder, so nothing can be compared",
    "NemotronH_Nano_VL_V2": "has a pruning of its own",
    "PixtralForConditionalGeneration": (
        "its tokenizer writes all placeholders before the processor sees them; "
        "the same models are served as Mistral3ForConditionalGeneration"
    ),
    "Qwen2_5OmniForConditionalGeneration": "audio shares the placeholders of videos",
    "Qwen2_5OmniModel": "audio shares the placeholders of videos",
    "Qwen3OmniMoeForConditionalGeneration": "audio shares the placeholders of videos",
    "SkyworkR1VChatModel": _MAKERS,
}
"""Architectures of vLLM that take images and are not served, with the reason."""


def table() -> str:
    """What is supported and what is not, in Markdown."""
    rows = ["| architecture | what has a budget |", "| --- | --- |"]
    for family, classes in _CLASSES.items():
        rows += [f"| `{name}` | {BUDGETS[family]} |" for name in classes]
    rows += ["", "| not served | because |", "| --- | --- |"]
    rows += [f"| `{name}` | {reason} |" for name, reason in sorted(UNSUPPORTED.items())]
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
