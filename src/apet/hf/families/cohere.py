"""Cohere's vision models: layers with a sliding window and rotary positions, and full ones without any."""

from __future__ import annotations

from apet.hf.families.family import Family
from apet.hf.families.qwen import INPUTS

__all__ = ["ROWS"]

ROWS = (
    Family(
        "aya_vision",
        "Aya Vision",
        ("AyaVisionForConditionalGeneration",),
        tiles=True,
        whole=False,
        checkpoints=("CohereLabs/aya-vision-8b",),
    ),
    Family(
        "cohere2_vision",
        "Command A Vision",
        ("Cohere2VisionForConditionalGeneration",),
        tiles=True,
        whole=False,
        needs=("torchvision",),
        checkpoints=("CohereLabs/command-a-vision-07-2025",),
    ),
    Family(
        "cohere_compass",
        "Cohere Compass",
        ("CohereCompassForConditionalGeneration",),
        INPUTS,
        needs=("torchvision",),
    ),
)
