"""Qwen's models with experts, and Qwen3.5 with linear attention in most decoder layers.

Linear attention takes whatever tokens are left; stage 2 comes behind the first layer with full attention.
"""

from __future__ import annotations

from apet.hf.families.family import Family
from apet.hf.families.qwen import INPUTS

ROWS = (
    Family(
        "qwen3_vl_moe",
        "Qwen3-VL MoE",
        ("Qwen3VLMoeForConditionalGeneration",),
        INPUTS,
        needs=("torchvision",),
        checkpoints=("Qwen/Qwen3-VL-30B-A3B-Instruct",),
    ),
    Family(
        "qwen3_5",
        "Qwen3.5",
        ("Qwen3_5ForConditionalGeneration",),
        INPUTS,
        needs=("torchvision",),
        checkpoints=("Qwen/Qwen3.5-27B",),
    ),
    Family(
        "qwen3_5_moe",
        "Qwen3.5 MoE",
        ("Qwen3_5MoeForConditionalGeneration",),
        INPUTS,
        needs=("torchvision",),
        checkpoints=("Qwen/Qwen3.5-35B-A3B",),
    ),
)
