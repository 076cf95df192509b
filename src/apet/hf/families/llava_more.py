"""More relatives of LLaVA: a vision tower, a projector and a plain decoder."""

from __future__ import annotations

from torch import Tensor

from apet.hf.families.family import IMAGE, VIDEO, Family, Visual
from apet.hf.families.layouts import anyres, entries, laid_out

__all__ = ["ROWS"]


def _frames(visual: Visual) -> list[list[Tensor]]:
    """All videos of a call have the same number of frames."""
    count: int = visual.arguments["pixel_values_videos"].shape[1]
    return [list(rows.chunk(count)) for (rows,) in entries(visual)]


ROWS = (
    Family(
        "aria",
        "Aria",
        ("AriaForConditionalGeneration",),
        checkpoints=("rhymes-ai/Aria",),
    ),
    Family(
        "deepseek_vl",
        "DeepSeek-VL",
        ("DeepseekVLForConditionalGeneration",),
        projector="aligner",
        checkpoints=("deepseek-community/deepseek-vl-1.3b-chat",),
    ),
    Family(
        "fast_vlm",
        "FastVLM",
        ("FastVlmForConditionalGeneration",),
        projector="multi_modal_projector",
    ),
    Family(
        "janus",
        "Janus",
        ("JanusForConditionalGeneration",),
        projector="aligner",
        checkpoints=("deepseek-community/Janus-Pro-1B", "deepseek-community/Janus-Pro-7B"),
    ),
    Family(
        "llava_next_video",
        "LLaVA-NeXT-Video",
        ("LlavaNextVideoForConditionalGeneration",),
        (laid_out(IMAGE, anyres), laid_out(VIDEO, _frames)),
        checkpoints=("llava-hf/LLaVA-NeXT-Video-7B-hf",),
    ),
    Family(
        "vipllava",
        "ViP-LLaVA",
        ("VipLlavaForConditionalGeneration",),
        projector="multi_modal_projector",
        checkpoints=("llava-hf/vip-llava-7b-hf",),
    ),
)
