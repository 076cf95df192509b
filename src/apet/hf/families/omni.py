"""The thinkers of Qwen's omni models: what they see is compressed, what they hear is not."""

from __future__ import annotations

from apet.hf.families.family import Family
from apet.hf.families.qwen import INPUTS

ROWS = (
    Family(
        "qwen2_5_omni_thinker",
        "Qwen2.5-Omni",
        ("Qwen2_5OmniThinkerForConditionalGeneration",),
        INPUTS,
        note="apply to the omni model's `thinker` attribute; audio is not compressed",
        needs=("torchvision",),
        checkpoints=("Qwen/Qwen2.5-Omni-7B",),
    ),
    Family(
        "qwen3_omni_moe_thinker",
        "Qwen3-Omni",
        ("Qwen3OmniMoeThinkerForConditionalGeneration",),
        INPUTS,
        note="apply to the omni model's `thinker` attribute; audio is not compressed",
        needs=("torchvision",),
        checkpoints=("Qwen/Qwen3-Omni-30B-A3B-Instruct",),
    ),
)
