"""The architectures of vLLM that are served under compression, and why others are not.

    python -m apet.vllm.registry

prints the table of the documentation.
"""

from __future__ import annotations

from apet.vllm.unsupported import UNSUPPORTED

_HOME = "apet.vllm.families"
_CLASSES: dict[str, dict[str, str]] = {
    "llava": {"LlavaForConditionalGeneration": "ApETLlava"},
    "llava_next": {"LlavaNextForConditionalGeneration": "ApETLlavaNext"},
    "llava_onevision": {"LlavaOnevisionForConditionalGeneration": "ApETLlavaOnevision"},
    "qwen2_vl": {
        "Qwen2VLForConditionalGeneration": "ApETQwen2VL",
        "Qwen2_5_VLForConditionalGeneration": "ApETQwen25VL",
        "Exaone4_5_ForConditionalGeneration": "ApETExaone45",
    },
    "qwen3_vl": {
        "Qwen3VLForConditionalGeneration": "ApETQwen3VL",
        "Qwen3VLMoeForConditionalGeneration": "ApETQwen3VLMoe",
        "Qwen3_5ForConditionalGeneration": "ApETQwen35",
        "Qwen3_5MoeForConditionalGeneration": "ApETQwen35Moe",
        "Cosmos3ForConditionalGeneration": "ApETCosmos3",
        "Cosmos3EdgeForConditionalGeneration": "ApETCosmos3Edge",
    },
    "internvl": {
        "InternVLForConditionalGeneration": "ApETInternVL",
        "InternS1ForConditionalGeneration": "ApETInternVL",
        "InternVLChatModel": "ApETInternVLChat",
        "QianfanOCRForConditionalGeneration": "ApETQianfanOCR",
    },
    "gemma": {
        "Gemma3ForConditionalGeneration": "ApETGemma3",
        "Gemma4ForConditionalGeneration": "ApETGemma4",
        "Gemma4UnifiedForConditionalGeneration": "ApETGemma4Unified",
        "PaliGemmaForConditionalGeneration": "ApETPaliGemma",
    },
    "granite": {"Granite4VisionForConditionalGeneration": "ApETGranite4Vision"},
    "llava_next_video": {"LlavaNextVideoForConditionalGeneration": "ApETLlavaNextVideo"},
    "glm": {
        "Glm4vForConditionalGeneration": "ApETGlm4v",
        "Glm4vMoeForConditionalGeneration": "ApETGlm4vMoe",
        "GlmOcrForConditionalGeneration": "ApETGlmOcr",
    },
    "paddleocr": {"PaddleOCRVLForConditionalGeneration": "ApETPaddleOCRVL"},
    "minicpm": {
        "MiniCPMV4_6ForConditionalGeneration": "ApETMiniCPMV46",
        "MiniCPMV4_7ForConditionalGeneration": "ApETMiniCPMV47",
    },
    "mistral": {"Mistral3ForConditionalGeneration": "ApETMistral3"},
    "runs": {
        "AriaForConditionalGeneration": "ApETAria",
        "Cohere2VisionForConditionalGeneration": "ApETCohere2Vision",
        "Idefics3ForConditionalGeneration": "ApETIdefics3",
        "Lfm2VlForConditionalGeneration": "ApETLfm2VL",
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
    "gemma": "image; of Gemma 3 also crop, of Gemma 4 also frame",
    "granite": "tile; newlines stay",
    "llava_next_video": "frame (videos only)",
    "glm": "image, frame",
    "paddleocr": "image",
    "minicpm": "slice, frame",
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
