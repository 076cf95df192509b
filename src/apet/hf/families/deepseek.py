"""DeepSeek's vision-language models."""

from __future__ import annotations

import torch
from torch import Tensor

from apet.hf.families.family import IMAGE, Family, Visual
from apet.hf.families.grids import drawn, square
from apet.hf.families.layouts import entries, laid_out


def _tiles_view_separator(visual: Visual) -> list[list[Tensor]]:
    """DeepSeek-OCR 2: tiles of one size, a view of the whole image, and a separator token at the end."""
    counts = visual.arguments.get("num_local_patches")
    queries = visual.base.vision_tower.query_768_resolution.weight.shape[0]
    images = []
    for number, (rows,) in enumerate(entries(visual)):
        count = 0 if counts is None else int(torch.as_tensor(counts)[number])
        local = count * queries
        tiles = rows[:local].chunk(count) if count else ()
        images.append([*tiles, rows[local:-1]])
    return images


ROWS = (
    Family(
        "deepseek_vl_hybrid",
        "DeepSeek-VL with two encoders",
        ("DeepseekVLHybridForConditionalGeneration",),
        (drawn(IMAGE, square(whole=False)),),
        checkpoints=("deepseek-community/deepseek-vl-7b-chat",),
    ),
    Family(
        "deepseek_ocr2",
        "DeepSeek-OCR 2",
        ("DeepseekOcr2ForConditionalGeneration",),
        (laid_out(IMAGE, _tiles_view_separator),),
        tiles=True,
        checkpoints=("deepseek-ai/DeepSeek-OCR-2",),
    ),
)
