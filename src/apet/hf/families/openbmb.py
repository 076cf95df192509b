"""MiniCPM-V and MiniCPM-OCR: slices of an image and frames of a video are entries of their own."""

from __future__ import annotations

from apet.hf.families.family import IMAGE, VIDEO, Family

__all__ = ["ROWS"]

ROWS = (
    Family(
        "minicpmv4_6",
        "MiniCPM-V 4.6",
        ("MiniCPMV4_6ForConditionalGeneration",),
        (IMAGE, VIDEO),
        tiles=True,
        whole=False,
        needs=("torchvision",),
        checkpoints=("openbmb/MiniCPM-V-4.6",),
    ),
    Family(
        "minicpmv4_7",
        "MiniCPM-V 4.7",
        ("MiniCPMV4_7ForConditionalGeneration",),
        (IMAGE, VIDEO),
        tiles=True,
        whole=False,
        needs=("torchvision",),
        checkpoints=("openbmb/MiniCPM-V-4.7-1B",),
    ),
    Family(
        "minicpm_ocr",
        "MiniCPM-OCR",
        ("MiniCPMOcrForConditionalGeneration",),
        (IMAGE, VIDEO),
        tiles=True,
        whole=False,
        needs=("torchvision",),
        checkpoints=("openbmb/MiniCPM-OCR-1.0",),
    ),
)
