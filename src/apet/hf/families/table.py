"""The families: one row each, by model type, and what users of single ones have to know.

A row names what `Family` tells of every field; ``inputs.py`` has the visual inputs.
"""

from __future__ import annotations

from typing import Any

from apet.hf.families import inputs
from apet.hf.families.family import Family, Modality

TV, TIMM = "torchvision", "timm"
"""What processors need beyond transformers and pillow."""
MLP = "multi_modal_projector"
_THINKER = "apply to the omni model's `thinker` attribute; audio is not compressed"
_NOTES = {
    "gemma4": "E2B and E4B share keys and values between layers: stage 1 only",
    "got_ocr2": "the pages of a `multi_page=True` prompt count as one image",
    "granite4_vision": "stage 1 scores the features of the first decoder layer that gets any; "
    "stage 2 comes behind the last that does",
    "kimi_k25": "images only: clips of several frames do not get through transformers' own "
    "`get_video_features` (5.23)",
    "lfm2_vl": '`unit="whole"` needs the processor\'s `use_image_special_tokens`, which it sets by default',
    "llama4": "past 8192 tokens its layers without rotary positions scale queries by their place in the "
    "shortened prompt, so such prompts differ slightly from the full sequence with tokens masked",
    "mistral3": "Mistral 4's text model runs with sdpa or eager, not with FlashAttention",
    "muse_spark": "audio is not compressed",
    "paligemma": "prefill in chunks cuts the prefix that sees itself whole: other logits, as in the plain "
    "model",
    "qwen2_5_omni_thinker": _THINKER,
    "qwen3_omni_moe_thinker": _THINKER,
    "shieldgemma2": "apply to the classifier's `model` attribute, `apet.apply(classifier.model, ..)`",
    "video_llama_3": "needs `use_token_compression=False` in its processor, whose own video compression "
    "drops tokens itself",
}


def _row(
    model_type: str,
    title: str,
    checkpoints: str = "",
    takes: tuple[Modality, ...] = inputs.PLAIN,
    needs: str = "",
    **more: Any,
) -> Family:
    """A row, its note out of `_NOTES`; names of checkpoints and packages are parted by spaces."""
    more |= {"checkpoints": tuple(checkpoints.split()), "needs": tuple(needs.split())}
    return Family(model_type, title, takes, note=_NOTES.get(model_type), **more)


ROWS = (
    # model type, title, checkpoints on the Hub, what it takes, what its processor needs, where its parts are
    _row("aria", "Aria", "rhymes-ai/Aria"),
    _row("aya_vision", "Aya Vision", "CohereLabs/aya-vision-8b", inputs.END_MARKED, tiles=True),
    _row(
        "cohere2_vision",
        "Command A Vision",
        "CohereLabs/command-a-vision-07-2025",
        inputs.START_MARKED,
        TV,
        tiles=True,
    ),
    _row("cohere_compass", "Cohere Compass", "", inputs.GRID, TV),
    _row("cosmos3_edge", "Cosmos 3 Edge", "", inputs.GRID, TV),
    _row("cosmos3_omni", "Cosmos 3 Omni", "", inputs.GRID, TV),
    _row("deepseek_ocr2", "DeepSeek-OCR 2", "deepseek-ai/DeepSeek-OCR-2", inputs.DEEPSEEK_OCR2, tiles=True),
    _row(
        "deepseek_vl",
        "DeepSeek-VL",
        "deepseek-community/deepseek-vl-1.3b-chat",
        inputs.SQUARE,
        projector="aligner",
    ),
    _row(
        "deepseek_vl_hybrid",
        "DeepSeek-VL with two encoders",
        "deepseek-community/deepseek-vl-7b-chat",
        inputs.SQUARE,
    ),
    _row("ernie4_5_vl_moe", "ERNIE-4.5-VL", "baidu/ERNIE-4.5-VL-28B-A3B-PT", inputs.ERNIE, TV),
    _row("exaone4_5", "EXAONE 4.5", "LGAI-EXAONE/EXAONE-4.5-33B", inputs.GRID, TV),
    _row("fast_vlm", "FastVLM", "", inputs.SQUARE, TIMM, projector=MLP),
    _row("fuyu", "Fuyu", "adept/fuyu-8b"),
    _row(
        "gemma3",
        "Gemma 3",
        "google/gemma-3-4b-it google/gemma-3-27b-it",
        inputs.WHOLE_SQUARE,
        base_masks=True,
    ),
    _row(
        "gemma3n",
        "Gemma 3n",
        "google/gemma-3n-E4B-it",
        inputs.PLAIN,
        TIMM,
        one_stage="its hidden states have four dimensions, one prediction beside another",
    ),
    _row("gemma4", "Gemma 4", "google/gemma-4-26B-A4B-it", inputs.GEMMA4, TV, base_masks=True),
    _row(
        "gemma4_unified",
        "Gemma 4 without encoders",
        "google/gemma-4-12B-it",
        inputs.GEMMA4,
        TV,
        base_masks=True,
    ),
    _row("glm46v", "GLM-4.6V", "", inputs.GLM, TV),
    _row("glm4v", "GLM-4.1V", "zai-org/GLM-4.1V-9B-Thinking zai-org/GLM-4.6V-Flash", inputs.GLM, TV),
    _row("glm4v_moe", "GLM-4.5V", "zai-org/GLM-4.5V", inputs.GLM, TV),
    _row("glm_ocr", "GLM-OCR", "zai-org/GLM-OCR", inputs.GLM, TV),
    _row("glmga", "GLM-GA", "", inputs.GLM, TV),
    _row("got_ocr2", "GOT-OCR2", "stepfun-ai/GOT-OCR-2.0-hf", inputs.TOUCHING, tiles=True),
    _row(
        "granite4_vision",
        "Granite Vision 4",
        "ibm-granite/granite-vision-4.1-4b",
        inputs.GRANITE4,
        tiles=True,
    ),
    _row(
        "granite_docling",
        "Granite for Docling",
        "ibm-granite/granite-for-docling-500m",
        inputs.GRANITE_DOCLING,
        text="text_model",
        tiles=True,
    ),
    _row("hunyuan_vl", "HunYuan-VL", "tencent/HunyuanOCR", inputs.HUNYUAN),
    _row(
        "hyperclovax_vision_v2",
        "HyperCLOVA X SEED Think",
        "naver-hyperclovax/HyperCLOVAX-SEED-Think-32B",
        inputs.GRID,
        TV,
    ),
    _row("idefics2", "Idefics2", "HuggingFaceM4/idefics2-8b", inputs.IDEFICS2, text="text_model", tiles=True),
    _row(
        "idefics3",
        "Idefics3",
        "HuggingFaceM4/Idefics3-8B-Llama3 HuggingFaceTB/SmolVLM-Instruct",
        inputs.IDEFICS3,
        text="text_model",
        tiles=True,
    ),
    _row("internvl", "InternVL", "OpenGVLab/InternVL3-8B-hf", inputs.TOUCHING, TV, tiles=True),
    _row(
        "janus",
        "Janus",
        "deepseek-community/Janus-Pro-1B deepseek-community/Janus-Pro-7B",
        inputs.SQUARE,
        projector="aligner",
    ),
    _row("kimi_k25", "Kimi K2.5", "moonshotai/Kimi-K2.6", inputs.PLAIN, TV),
    _row("lfm2_vl", "LFM2-VL", "LiquidAI/LFM2-VL-1.6B", inputs.END_MARKED, TV, tiles=True),
    _row("lfm3_vl", "LFM3-VL", "LiquidAI/LFM3-VL-2B", inputs.GRID, TV),
    _row("lighton_ocr", "LightOnOCR", "lightonai/LightOnOCR-1B-1025", inputs.PIXTRAL),
    _row(
        "llama4",
        "Llama 4",
        "meta-llama/Llama-4-Scout-17B-16E-Instruct",
        inputs.END_MARKED,
        TV,
        text="language_model.model",
        tiles=True,
    ),
    _row(
        "llava",
        "LLaVA-1.5",
        "llava-hf/llava-1.5-7b-hf llava-hf/llava-1.5-13b-hf",
        inputs.LLAVA,
        projector=MLP,
        encoder="vision_tower.encoder",
    ),
    _row("llava_next", "LLaVA-NeXT", "llava-hf/llava-v1.6-mistral-7b-hf", inputs.LLAVA_NEXT, tiles=True),
    _row(
        "llava_next_video",
        "LLaVA-NeXT-Video",
        "llava-hf/LLaVA-NeXT-Video-7B-hf",
        inputs.LLAVA_NEXT_VIDEO,
        TV,
        tiles=True,
    ),
    _row(
        "llava_onevision",
        "LLaVA-OneVision",
        "llava-hf/llava-onevision-qwen2-7b-ov-hf",
        inputs.LLAVA_ONEVISION,
        TV,
        tiles=True,
    ),
    _row("minicpm_ocr", "MiniCPM-OCR", "openbmb/MiniCPM-OCR-1.0", inputs.MINICPM, TV, tiles=True),
    _row("minicpmv4_6", "MiniCPM-V 4.6", "openbmb/MiniCPM-V-4.6", inputs.MINICPM, TV, tiles=True),
    _row("minicpmv4_7", "MiniCPM-V 4.7", "openbmb/MiniCPM-V-4.7-1B", inputs.MINICPM, TV, tiles=True),
    _row(
        "mistral3",
        "Mistral 3",
        "mistralai/Mistral-Small-3.1-24B-Instruct-2503 mistralai/Mistral-Small-3.2-24B-Instruct-2506",
        inputs.PIXTRAL,
        TV,
    ),
    _row("molmo2", "Molmo2", "allenai/Molmo2-8B", inputs.MOLMO2, TV, base_masks=True, tiles=True),
    _row("muse_glimmer", "Muse Glimmer", "meta-models/Muse-Glimmer-30B", inputs.MUSE, TV),
    _row("muse_spark", "Muse Spark", "meta-models/Muse-Spark-Open-816B-A42B", inputs.MUSE, TV),
    _row("ovis2", "Ovis2", "thisisiron/Ovis2-1B-hf", inputs.START_MARKED, tiles=True),
    _row("paddleocr_vl", "PaddleOCR-VL", "PaddlePaddle/PaddleOCR-VL", inputs.GRID_IMAGE),
    _row(
        "paligemma",
        "PaliGemma",
        "google/paligemma2-3b-mix-224 google/paligemma-3b-mix-224",
        inputs.WHOLE_SQUARE,
        projector=MLP,
        base_masks=True,
    ),
    _row(
        "perception_lm",
        "Perception LM",
        "facebook/Perception-LM-1B",
        inputs.PERCEPTION_LM,
        f"{TV} {TIMM}",
        tiles=True,
    ),
    _row("pp_chart2table", "PP-Chart2Table", "PaddlePaddle/PP-Chart2Table_safetensors", inputs.SQUARE),
    _row("qianfan_ocr", "Qianfan-OCR", "baidu/Qianfan-OCR", inputs.TOUCHING, tiles=True),
    _row("qwen2_5_omni_thinker", "Qwen2.5-Omni", "Qwen/Qwen2.5-Omni-7B", inputs.GRID, TV),
    _row("qwen2_5_vl", "Qwen2.5-VL", "Qwen/Qwen2.5-VL-7B-Instruct", inputs.QWEN, TV),
    _row("qwen2_vl", "Qwen2-VL", "Qwen/Qwen2-VL-7B-Instruct", inputs.QWEN, TV),
    _row("qwen3_5", "Qwen3.5", "Qwen/Qwen3.5-27B", inputs.GRID, TV),
    _row("qwen3_5_moe", "Qwen3.5 MoE", "Qwen/Qwen3.5-35B-A3B", inputs.GRID, TV),
    _row("qwen3_omni_moe_thinker", "Qwen3-Omni", "Qwen/Qwen3-Omni-30B-A3B-Instruct", inputs.GRID, TV),
    _row("qwen3_vl", "Qwen3-VL", "Qwen/Qwen3-VL-8B-Instruct", inputs.QWEN, TV),
    _row("qwen3_vl_moe", "Qwen3-VL MoE", "Qwen/Qwen3-VL-30B-A3B-Instruct", inputs.GRID, TV),
    _row("shieldgemma2", "ShieldGemma 2", "google/shieldgemma-2-4b-it", inputs.WHOLE_SQUARE, base_masks=True),
    _row(
        "smolvlm",
        "SmolVLM2",
        "HuggingFaceTB/SmolVLM2-2.2B-Instruct",
        inputs.IDEFICS3,
        f"{TV} num2words",
        text="text_model",
        tiles=True,
    ),
    _row("step3p7", "Step-3.7", "stepfun-ai/Step-3.7-Flash", inputs.STEP3P7, TV, tiles=True),
    _row("video_llama_3", "VideoLLaMA3", "lkhl/VideoLLaMA3-2B-Image-HF", inputs.VIDEO_LLAMA3, TV),
    _row("video_llava", "Video-LLaVA", "LanguageBind/Video-LLaVA-7B-hf", inputs.VIDEO_LLAVA, TV),
    _row("vipllava", "ViP-LLaVA", "llava-hf/vip-llava-7b-hf", inputs.SQUARE, projector=MLP),
)
