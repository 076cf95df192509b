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
        tiles=True,
        whole=False,
        needs=("torchvision",),
        checkpoints=("OpenGVLab/InternVL3-8B-hf",),
    ),
    Family(
        "got_ocr2",
        "GOT-OCR2",
        ("GotOcr2ForConditionalGeneration",),
        tiles=True,
        whole=False,
        checkpoints=("stepfun-ai/GOT-OCR-2.0-hf",),
    ),
    Family(
        "pp_chart2table",
        "PP-Chart2Table",
        ("GotOcr2ForConditionalGeneration",),
        tiles=True,
        whole=False,
        checkpoints=("PaddlePaddle/PP-Chart2Table_safetensors",),
    ),
    Family(
        "qianfan_ocr",
        "Qianfan-OCR",
        ("QianfanOCRForConditionalGeneration",),
        tiles=True,
        whole=False,
        needs=("torchvision",),
        checkpoints=("baidu/Qianfan-OCR",),
    ),
)
