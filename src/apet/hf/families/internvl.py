"""InternVL and OCR models, which get the tiles of all images in one tensor.

The tiles of an image touch in the prompt, between its start and its end.
"""

from __future__ import annotations

from dataclasses import replace

from apet.hf.families.begins import touching
from apet.hf.families.family import IMAGE, Family
from apet.hf.families.grids import drawn, square

_TILES = (replace(IMAGE, begins=touching),)

ROWS = (
    Family(
        "internvl",
        "InternVL",
        ("InternVLForConditionalGeneration",),
        _TILES,
        tiles=True,
        needs=("torchvision",),
        checkpoints=("OpenGVLab/InternVL3-8B-hf",),
    ),
    Family(
        "got_ocr2",
        "GOT-OCR2",
        ("GotOcr2ForConditionalGeneration",),
        _TILES,
        tiles=True,
        note="the pages of a `multi_page=True` prompt count as one image",
        checkpoints=("stepfun-ai/GOT-OCR-2.0-hf",),
    ),
    Family(
        "pp_chart2table",
        "PP-Chart2Table",
        ("GotOcr2ForConditionalGeneration",),
        (drawn(IMAGE, square(whole=False)),),
        checkpoints=("PaddlePaddle/PP-Chart2Table_safetensors",),
    ),
    Family(
        "qianfan_ocr",
        "Qianfan-OCR",
        ("QianfanOCRForConditionalGeneration",),
        _TILES,
        tiles=True,
        needs=("torchvision",),
        checkpoints=("baidu/Qianfan-OCR",),
    ),
)
