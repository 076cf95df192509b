"""Layouts that one family alone has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from apet.hf.families.family import Visual
from apet.hf.families.layouts import entries, equal_parts, frames_of_grid


def deepseek_ocr2(visual: Visual) -> list[list[Tensor]]:
    """Tiles of one size, a view of the whole image, and a separator token at the end."""
    counts = visual.arguments.get("num_local_patches")
    queries = visual.base.vision_tower.query_768_resolution.weight.shape[0]
    images = []
    for number, (rows,) in enumerate(entries(visual)):
        count = 0 if counts is None else int(torch.as_tensor(counts)[number])
        tiles = rows[: count * queries].chunk(count) if count else ()
        images.append([*tiles, rows[count * queries : -1]])
    return images


def ernie_video(visual: Visual) -> Sequence[Sequence[Tensor]]:
    """Two frames are merged into one, so the parts of a video are pairs of frames."""
    grid = torch.as_tensor(visual.arguments["video_grid_thw"]).clone()
    grid[:, 0] //= visual.base.resampler_model.temporal_merge_size
    return frames_of_grid("video_grid_thw")(replace(visual, arguments={"video_grid_thw": grid}))


def gemma4_video(visual: Visual) -> list[list[Tensor]]:
    """An entry per video, of so many frames as the caller says."""
    counts = torch.as_tensor(visual.arguments["num_frames_per_video"]).tolist()
    return [list(rows.chunk(count)) for (rows,), count in zip(entries(visual), counts, strict=True)]


def granite_docling(visual: Visual) -> Sequence[Sequence[Tensor]]:
    """Tiles of one size, four times as large on the fine route."""
    factor = 1 if visual.arguments.get("tile_fine_mask") is None else 4
    return equal_parts(lambda base: factor * base.image_seq_len)(visual)


def hunyuan(visual: Visual) -> list[list[Tensor]]:
    """A token before the image and one behind it, and a newline at the end of every row."""
    images = []
    merged = visual.base.config.vision_config.spatial_merge_size
    grids = torch.as_tensor(visual.arguments["image_grid_thw"]).tolist()
    for (rows,), (_, _, width) in zip(entries(visual), grids, strict=True):
        across = width // merged
        images.append([rows[1:-1].view(-1, across + 1)[:, :across].reshape(-1)])
    return images


def llava_next_video(visual: Visual) -> list[list[Tensor]]:
    """All videos of a call have the same number of frames, which transformers before 5.21 gives apart."""
    count: int = visual.arguments["pixel_values_videos"].shape[1]
    return [list(rows[0].chunk(count)) if len(rows) == 1 else rows for rows in entries(visual)]


def molmo2(visual: Visual) -> list[list[Tensor]]:
    """A small view of the whole image, then the crops, stitched to one grid."""
    images = []
    grids = torch.as_tensor(visual.arguments["image_grids"]).tolist()
    for (rows,), (height, width, *_) in zip(entries(visual), grids, strict=True):
        view = height * width
        images.append([part for part in rows.split([view, len(rows) - view]) if len(part)])
    return images


def step3p7(visual: Visual) -> list[list[Tensor]]:
    """Tiles of one size, then a view of the whole image, both shrunk by two strides of 2."""
    images = []
    patch: int = visual.base.config.vision_config.patch_size
    view = math.prod(math.ceil(side // patch / 4) for side in visual.arguments["pixel_values"].shape[-2:])
    counts = visual.arguments.get("num_local_patches")
    for number, (rows,) in enumerate(entries(visual)):
        count = 0 if counts is None else int(counts[number])
        tiles = rows[: len(rows) - view].chunk(count) if count else ()
        images.append([*tiles, rows[len(rows) - view :]])
    return images
