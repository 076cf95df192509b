"""LLaVA and its relatives."""

from __future__ import annotations

from dataclasses import replace

from apet.hf.families.family import IMAGE, VIDEO, Family
from apet.hf.families.grids import drawn, packed, sized, square
from apet.hf.families.layouts import anyres, laid_out, stacked, trailing_newline
from apet.hf.families.shrink import INTERPOLATED

_ANYRES = drawn(laid_out(IMAGE, anyres), packed)


ROWS = (
    Family(
        "llava",
        "LLaVA-1.5",
        ("LlavaForConditionalGeneration",),
        (replace(drawn(IMAGE, sized(lambda base: int(base.vision_tower.patch_size))), shrink=INTERPOLATED),),
        projector="multi_modal_projector",
        encoder="vision_tower.encoder",
        checkpoints=("llava-hf/llava-1.5-7b-hf", "llava-hf/llava-1.5-13b-hf"),
    ),
    Family(
        "llava_next",
        "LLaVA-NeXT",
        ("LlavaNextForConditionalGeneration",),
        (_ANYRES,),
        tiles=True,
        checkpoints=("llava-hf/llava-v1.6-mistral-7b-hf",),
    ),
    Family(
        "llava_onevision",
        "LLaVA-OneVision",
        ("LlavaOnevisionForConditionalGeneration",),
        (_ANYRES, drawn(laid_out(VIDEO, trailing_newline("pixel_values_videos")), square(whole=True))),
        tiles=True,
        needs=("torchvision",),
        checkpoints=("llava-hf/llava-onevision-qwen2-7b-ov-hf",),
    ),
    Family(
        "video_llava",
        "Video-LLaVA",
        ("VideoLlavaForConditionalGeneration",),
        (IMAGE, laid_out(VIDEO, stacked("pixel_values_videos"))),
        needs=("torchvision",),
        checkpoints=("LanguageBind/Video-LLaVA-7B-hf",),
    ),
)
