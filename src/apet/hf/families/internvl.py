"""InternVL and OCR models whose tiles are entries of their own.

The feature method gets the tiles of all images in one tensor, so every tile counts as an image.
"""

from __future__ import annotations

from apet.hf.families.family import Family

__all__ = ["ROWS"]

ROWS = (
    Family(
        "internvl",
        "InternVL",
        ("InternVLForConditionalGeneration",),
        checkpoints=("OpenGVLab/InternVL3-8B-hf",),
    ),
    Family(
        "got_ocr2",
        "GOT-OCR2",
        ("GotOcr2ForConditionalGeneration",),
        checkpoints=("stepfun-ai/GOT-OCR-2.0-hf",),
    ),
    Family(
        "qianfan_ocr",
        "Qianfan-OCR",
        ("QianfanOCRForConditionalGeneration",),
        checkpoints=("baidu/Qianfan-OCR",),
    ),
)
