"""Meta's Muse models: grids of any size, video, and layers without rotary positions among those with."""

from __future__ import annotations

from typing import Any

from apet.hf.families.family import Family
from apet.hf.families.grids import drawn, merged
from apet.hf.families.qwen import INPUTS


def _side(base: Any) -> int:
    return int(base.config.vision_config.merge_size)


_INPUTS = (
    drawn(INPUTS[0], merged("image_grid_thw", _side)),
    drawn(INPUTS[1], merged("video_grid_thw", _side)),
)

ROWS = (
    Family(
        "muse_glimmer",
        "Muse Glimmer",
        ("MuseGlimmerForConditionalGeneration",),
        _INPUTS,
        needs=("torchvision",),
        checkpoints=("meta-models/Muse-Glimmer-30B",),
    ),
    Family(
        "muse_spark",
        "Muse Spark",
        ("MuseSparkForConditionalGeneration",),
        _INPUTS,
        note="audio is not compressed",
        needs=("torchvision",),
        checkpoints=("meta-models/Muse-Spark-Open-816B-A42B",),
    ),
)
