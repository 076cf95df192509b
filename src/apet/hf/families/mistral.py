"""Models with Pixtral's vision encoder: images of any size, and tokens between the rows of an image."""

from __future__ import annotations

from typing import Any

from apet.hf.families.family import IMAGE, Family
from apet.hf.families.grids import drawn, sized


def _patch(base: Any) -> int:
    """Pixels of a token: patches are merged in squares."""
    return int(base.config.vision_config.patch_size * base.config.spatial_merge_size)


_SIZED = (drawn(IMAGE, sized(_patch)),)

ROWS = (
    Family(
        "mistral3",
        "Mistral 3",
        ("Mistral3ForConditionalGeneration",),
        _SIZED,
        note="Mistral 4's text model runs with sdpa or eager, not with FlashAttention",
        needs=("torchvision",),
        checkpoints=(
            "mistralai/Mistral-Small-3.1-24B-Instruct-2503",
            "mistralai/Mistral-Small-3.2-24B-Instruct-2506",
        ),
    ),
    Family(
        "lighton_ocr",
        "LightOnOCR",
        ("LightOnOcrForConditionalGeneration",),
        _SIZED,
        checkpoints=("lightonai/LightOnOCR-1B-1025",),
    ),
)
