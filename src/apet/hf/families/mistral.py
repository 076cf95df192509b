"""Models with Pixtral's vision encoder: images of any size, and tokens between the rows of an image."""

from __future__ import annotations

from apet.hf.families.family import Family

__all__ = ["ROWS"]

ROWS = (
    Family(
        "mistral3",
        "Mistral 3",
        ("Mistral3ForConditionalGeneration",),
        checkpoints=(
            "mistralai/Mistral-Small-3.1-24B-Instruct-2503",
            "mistralai/Mistral-Small-3.2-24B-Instruct-2506",
        ),
    ),
    Family(
        "lighton_ocr",
        "LightOnOCR",
        ("LightOnOcrForConditionalGeneration",),
        checkpoints=("lightonai/LightOnOCR-1B-1025",),
    ),
)
