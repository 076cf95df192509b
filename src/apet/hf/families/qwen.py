"""Qwen's vision-language models: grids of any size, three-axis rotary positions, video."""

from __future__ import annotations

from dataclasses import replace

from apet.hf.families.family import IMAGE, VIDEO, Family
from apet.hf.families.grids import drawn, merged
from apet.hf.families.layouts import frames_of_grid, laid_out
from apet.hf.families.shrink import GRID

INPUTS = (
    drawn(IMAGE, merged("image_grid_thw")),
    drawn(laid_out(VIDEO, frames_of_grid("video_grid_thw")), merged("video_grid_thw")),
)
_INPUTS = (replace(INPUTS[0], shrink=GRID), INPUTS[1])

ROWS = (
    Family(
        "qwen2_vl",
        "Qwen2-VL",
        ("Qwen2VLForConditionalGeneration",),
        _INPUTS,
        needs=("torchvision",),
        checkpoints=("Qwen/Qwen2-VL-7B-Instruct",),
    ),
    Family(
        "qwen2_5_vl",
        "Qwen2.5-VL",
        ("Qwen2_5_VLForConditionalGeneration",),
        _INPUTS,
        needs=("torchvision",),
        checkpoints=("Qwen/Qwen2.5-VL-7B-Instruct",),
    ),
    Family(
        "qwen3_vl",
        "Qwen3-VL",
        ("Qwen3VLForConditionalGeneration",),
        _INPUTS,
        needs=("torchvision",),
        checkpoints=("Qwen/Qwen3-VL-8B-Instruct",),
    ),
)
