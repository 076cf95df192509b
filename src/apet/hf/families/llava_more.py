"""More relatives of LLaVA: a vision tower, a projector and a plain decoder."""

from __future__ import annotations

from torch import Tensor

from apet.hf.families.family import IMAGE, VIDEO, Family, Visual
from apet.hf.families.grids import drawn, packed, square
from apet.hf.families.layouts import anyres, entries, laid_out


def _frames(visual: Visual) -> list[list[Tensor]]:
    """All videos of a call have the same number of frames, which transformers before 5.21 gives apart."""
    count: int = visual.arguments["pixel_values_videos"].shape[1]
    return [list(rows[0].chunk(count)) if len(rows) == 1 else rows for rows in entries(visual)]


_SQUARE = (drawn(IMAGE, square(whole=False)),)

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
        _SQUARE,
        projector="aligner",
        checkpoints=("deepseek-community/deepseek-vl-1.3b-chat",),
    ),
    Family(
        "fast_vlm",
        "FastVLM",
        ("FastVlmForConditionalGeneration",),
        _SQUARE,
        projector="multi_modal_projector",
        needs=("timm",),
    ),
    Family(
        "janus",
        "Janus",
        ("JanusForConditionalGeneration",),
        _SQUARE,
        projector="aligner",
        checkpoints=("deepseek-community/Janus-Pro-1B", "deepseek-community/Janus-Pro-7B"),
    ),
    Family(
        "llava_next_video",
        "LLaVA-NeXT-Video",
        ("LlavaNextVideoForConditionalGeneration",),
        (
            drawn(laid_out(IMAGE, anyres), packed),
            drawn(laid_out(VIDEO, _frames), square(whole=False)),
        ),
        tiles=True,
        needs=("torchvision",),
        checkpoints=("llava-hf/LLaVA-NeXT-Video-7B-hf",),
    ),
    Family(
        "vipllava",
        "ViP-LLaVA",
        ("VipLlavaForConditionalGeneration",),
        _SQUARE,
        projector="multi_modal_projector",
        checkpoints=("llava-hf/vip-llava-7b-hf",),
    ),
)
