"""Cohere's vision models: layers with a sliding window and rotary positions, and full ones without any."""

from __future__ import annotations

from dataclasses import replace

from apet.hf.families.begins import by_mark
from apet.hf.families.family import IMAGE, Family
from apet.hf.families.qwen import INPUTS

ROWS = (
    Family(
        "aya_vision",
        "Aya Vision",
        ("AyaVisionForConditionalGeneration",),
        (
            replace(IMAGE, begins=by_mark("after", "last")),
        ),  # an image's end; behind other tiles, the next's name
        tiles=True,
        checkpoints=("CohereLabs/aya-vision-8b",),
    ),
    Family(
        "cohere2_vision",
        "Command A Vision",
        ("Cohere2VisionForConditionalGeneration",),
        (replace(IMAGE, begins=by_mark("before", "first")),),  # an image's start; before other tiles, a break
        tiles=True,
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
