"""Liquid's models: short convolutions in many decoder layers, whose states are those of the kept tokens."""

from __future__ import annotations

from dataclasses import replace

from apet.hf.families.begins import by_mark
from apet.hf.families.family import IMAGE, Family
from apet.hf.families.qwen import INPUTS

ROWS = (
    Family(
        "lfm2_vl",
        "LFM2-VL",
        ("Lfm2VlForConditionalGeneration",),
        (
            replace(IMAGE, begins=by_mark("after", "last")),
        ),  # an image's end; behind other tiles, the next's name
        tiles=True,
        note='`unit="whole"` needs the processor\'s `use_image_special_tokens`, which it sets by default',
        needs=("torchvision",),
        checkpoints=("LiquidAI/LFM2-VL-1.6B",),
    ),
    Family(
        "lfm3_vl",
        "LFM3-VL",
        ("Lfm3VlForConditionalGeneration",),
        INPUTS,
        needs=("torchvision",),
        checkpoints=("LiquidAI/LFM3-VL-2B",),
    ),
)
