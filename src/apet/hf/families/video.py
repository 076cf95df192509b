"""Models for video and documents whose makers have one family here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from apet.hf.families.family import IMAGE, VIDEO, Family, Visual
from apet.hf.families.grids import drawn, merged
from apet.hf.families.layouts import frames_of_grid, laid_out
from apet.hf.families.qwen import INPUTS

_IMAGES, _GRID = "image_grid_thw", "video_grid_thw"


def _frame_pairs(visual: Visual) -> Sequence[Sequence[Tensor]]:
    """ERNIE merges two frames into one, so the parts of a video are pairs of frames."""
    grid = torch.as_tensor(visual.arguments[_GRID]).clone()
    grid[:, 0] //= visual.base.resampler_model.temporal_merge_size
    return frames_of_grid(_GRID)(replace(visual, arguments={_GRID: grid}))


ROWS = (
    Family(
        "video_llama_3",
        "VideoLLaMA3",
        ("VideoLlama3ForConditionalGeneration",),
        (
            drawn(IMAGE, merged("image_grid_thw", "image_merge_sizes")),
            drawn(INPUTS[1], merged("video_grid_thw", "video_merge_sizes")),
        ),
        note=(
            "needs `use_token_compression=False` in its processor, whose own video compression drops "
            "tokens itself"
        ),
        needs=("torchvision",),
        checkpoints=("lkhl/VideoLLaMA3-2B-Image-HF",),
    ),
    Family(
        "ernie4_5_vl_moe",
        "ERNIE-4.5-VL",
        ("Ernie4_5_VLMoeForConditionalGeneration",),
        (drawn(IMAGE, merged(_IMAGES)), drawn(laid_out(VIDEO, _frame_pairs), merged(_GRID))),
        needs=("torchvision",),
        checkpoints=("baidu/ERNIE-4.5-VL-28B-A3B-PT",),
    ),
    Family(
        "paddleocr_vl",
        "PaddleOCR-VL",
        ("PaddleOCRVLForConditionalGeneration",),
        (drawn(IMAGE, merged(_IMAGES)),),
        checkpoints=("PaddlePaddle/PaddleOCR-VL",),
    ),
    Family(
        "exaone4_5",
        "EXAONE 4.5",
        ("Exaone4_5_ForConditionalGeneration",),
        INPUTS,
        needs=("torchvision",),
        checkpoints=("LGAI-EXAONE/EXAONE-4.5-33B",),
    ),
    # Clips of several frames do not get through transformers' own get_video_features (5.23): images only.
    Family(
        "kimi_k25",
        "Kimi K2.5",
        ("Kimi_K25ForConditionalGeneration",),
        note=(
            "images only: clips of several frames do not get through transformers' own "
            "`get_video_features` (5.23)"
        ),
        needs=("torchvision",),
        checkpoints=("moonshotai/Kimi-K2.6",),
    ),
)
