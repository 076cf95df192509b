"""Liquid's models: short convolutions in many decoder layers, whose states are those of the kept tokens."""

from __future__ import annotations

from apet.hf.families.family import Family
from apet.hf.families.qwen import INPUTS

__all__ = ["ROWS"]

ROWS = (
    Family(
        "lfm2_vl",
        "LFM2-VL",
        ("Lfm2VlForConditionalGeneration",),
        tiles=True,
        whole=False,
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
