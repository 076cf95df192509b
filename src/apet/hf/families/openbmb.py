"""MiniCPM-V and MiniCPM-OCR: slices of an image and frames of a video are entries of their own.

A view of the image comes before its slices, marked as the start of an image. So is every frame of a video:
where one video ends and another begins cannot be told.
"""

from __future__ import annotations

from dataclasses import replace

from apet.hf.families.begins import by_mark
from apet.hf.families.family import IMAGE, VIDEO, Family

_INPUTS = (
    replace(IMAGE, begins=by_mark("before", "first")),
    replace(VIDEO, no_whole="in its prompts two videos without text between them look like one"),
)

ROWS = (
    Family(
        "minicpmv4_6",
        "MiniCPM-V 4.6",
        ("MiniCPMV4_6ForConditionalGeneration",),
        _INPUTS,
        tiles=True,
        needs=("torchvision",),
        checkpoints=("openbmb/MiniCPM-V-4.6",),
    ),
    Family(
        "minicpmv4_7",
        "MiniCPM-V 4.7",
        ("MiniCPMV4_7ForConditionalGeneration",),
        _INPUTS,
        tiles=True,
        needs=("torchvision",),
        checkpoints=("openbmb/MiniCPM-V-4.7-1B",),
    ),
    Family(
        "minicpm_ocr",
        "MiniCPM-OCR",
        ("MiniCPMOcrForConditionalGeneration",),
        _INPUTS,
        tiles=True,
        needs=("torchvision",),
        checkpoints=("openbmb/MiniCPM-OCR-1.0",),
    ),
)
