"""NVIDIA's Cosmos models, built on Qwen's: grids of any size, three-axis rotary positions, video."""

from __future__ import annotations

from apet.hf.families.family import Family
from apet.hf.families.qwen import INPUTS

ROWS = (
    Family(
        "cosmos3_omni",
        "Cosmos 3 Omni",
        ("Cosmos3OmniForConditionalGeneration",),
        INPUTS,
        needs=("torchvision",),
    ),
    Family(
        "cosmos3_edge",
        "Cosmos 3 Edge",
        ("Cosmos3EdgeForConditionalGeneration",),
        INPUTS,
        needs=("torchvision",),
    ),
)
