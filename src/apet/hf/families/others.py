"""Families that are the only one of their maker here."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from apet.hf.families.begins import by_mark
from apet.hf.families.family import IMAGE, VIDEO, Family, Visual
from apet.hf.families.layouts import entries, frames_of_grid, laid_out
from apet.hf.families.qwen import INPUTS


def _view_and_crops(visual: Visual) -> list[list[Tensor]]:
    """Molmo2: a small view of the whole image, then the crops, stitched to one grid."""
    images = []
    grids = torch.as_tensor(visual.arguments["image_grids"]).tolist()
    for (rows,), (height, width, *_) in zip(entries(visual), grids, strict=True):
        view = height * width
        images.append([part for part in rows.split([view, len(rows) - view]) if len(part)])
    return images


def _without_marks(visual: Visual) -> list[list[Tensor]]:
    """HunYuan-VL: a token before the image and one behind it, and a newline at the end of every row."""
    images = []
    merged = visual.base.config.vision_config.spatial_merge_size
    grids = torch.as_tensor(visual.arguments["image_grid_thw"]).tolist()
    for (rows,), (_, _, width) in zip(entries(visual), grids, strict=True):
        across = width // merged
        images.append([rows[1:-1].view(-1, across + 1)[:, :across].reshape(-1)])
    return images


def _tiles_and_view(visual: Visual) -> list[list[Tensor]]:
    """Step-3.7: tiles of one size, then a view of the whole image, both shrunk by two strides of 2."""
    images = []
    patch: int = visual.base.config.vision_config.patch_size
    view = math.prod(math.ceil(side // patch / 4) for side in visual.arguments["pixel_values"].shape[-2:])
    counts = visual.arguments.get("num_local_patches")
    for number, (rows,) in enumerate(entries(visual)):
        count = 0 if counts is None else int(counts[number])
        tiles = rows[: len(rows) - view].chunk(count) if count else ()
        images.append([*tiles, rows[len(rows) - view :]])
    return images


ROWS = (
    Family("fuyu", "Fuyu", ("FuyuForCausalLM",), checkpoints=("adept/fuyu-8b",)),
    Family(
        "hunyuan_vl",
        "HunYuan-VL",
        ("HunYuanVLForConditionalGeneration",),
        (laid_out(IMAGE, _without_marks),),
        checkpoints=("tencent/HunyuanOCR",),
    ),
    Family(
        "hyperclovax_vision_v2",
        "HyperCLOVA X SEED Think",
        ("HyperCLOVAXVisionV2ForConditionalGeneration",),
        INPUTS,
        needs=("torchvision",),
        checkpoints=("naver-hyperclovax/HyperCLOVAX-SEED-Think-32B",),
    ),
    Family(
        "molmo2",
        "Molmo2",
        ("Molmo2ForConditionalGeneration",),
        (laid_out(IMAGE, _view_and_crops), laid_out(VIDEO, frames_of_grid("video_grids"))),
        base_masks=True,
        tiles=True,
        needs=("torchvision",),
        checkpoints=("allenai/Molmo2-8B",),
    ),
    Family(
        "ovis2",
        "Ovis2",
        ("Ovis2ForConditionalGeneration",),
        (
            replace(IMAGE, begins=by_mark("before", "first")),
        ),  # an image's start; before other tiles, a separator
        tiles=True,
        checkpoints=("thisisiron/Ovis2-1B-hf",),
    ),
    Family(
        "step3p7",
        "Step-3.7",
        ("Step3p7ForConditionalGeneration",),
        (laid_out(IMAGE, _tiles_and_view),),
        tiles=True,
        needs=("torchvision",),
        checkpoints=("stepfun-ai/Step-3.7-Flash",),
    ),
)
