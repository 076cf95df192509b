"""Cohere's vision models: layers with a sliding window and rotary positions, and full ones without any."""

from __future__ import annotations

from apet.hf.families.family import Family

__all__ = ["ROWS"]

ROWS = (
    Family(
        "aya_vision",
        "Aya Vision",
        ("AyaVisionForConditionalGeneration",),
        checkpoints=("CohereLabs/aya-vision-8b",),
    ),
    Family(
        "cohere2_vision",
        "Command A Vision",
        ("Cohere2VisionForConditionalGeneration",),
        checkpoints=("CohereLabs/command-a-vision-07-2025",),
    ),
)
