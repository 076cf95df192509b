"""Where a family says that its tokens lie, there their pixels lie.

A part of a picture is painted over, the type's own image processor prepares both, and of the tokens of a
grid the one that is said to lie on that part has to change most. Attention is switched off, so that no other
changes with it.
"""

from __future__ import annotations

import inspect
import math
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.hf.families import RECIPES
from transformers import AutoImageProcessor

from apet.app.plan.pictures import pixels_of
from apet.core.errors import ApETError
from apet.hf.choice.features import Features
from apet.hf.families import FAMILIES
from apet.hf.families.family import Visual
from apet.hf.families.layouts import entries

TOLD = [
    (name, modality.name)
    for name in RECIPES
    for modality in FAMILIES[name.split(" ")[0]].modalities
    if modality.grids is not None
]
SIZES = ((48, 48), (64, 32), (32, 64), (48, 30))
"""Width and height of the pictures."""


@pytest.fixture(autouse=True)
def _processors_are_made_once(monkeypatch):
    """Of a type's settings there is one image processor, however many pictures it prepares."""
    make, made = AutoImageProcessor.from_pretrained, {}

    def once(folder, **options):
        key = tuple(path.read_bytes() for path in sorted(Path(folder).iterdir()))
        if key not in made:
            made[key] = make(folder, **options)
        return made[key]

    monkeypatch.setattr(AutoImageProcessor, "from_pretrained", once)


def patch_by_patch(module):
    """Has every attention layer add nothing, and convolutions look at their middle above all."""

    def nothing(_, __, output):
        if isinstance(output, torch.Tensor):
            return torch.zeros_like(output)
        return (torch.zeros_like(output[0]), *output[1:])

    for one in module.modules():
        if isinstance(one, torch.nn.Conv2d) and one.kernel_size > one.stride:
            middle = [side // 2 for side in one.kernel_size]
            weight = one.weight.detach()[..., middle[0], middle[1]].clone()
            one.weight.data.mul_(0.02)[..., middle[0], middle[1]] = weight
    return [
        one.register_forward_hook(nothing)
        for one in module.modules()
        if type(one).__name__.endswith(("Attention", "SdpaAttention"))
    ]


def painted(size, box=None):
    """Noise, and a part of it that is turned to its negative."""
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    if box is not None:
        left, top, right, bottom = box
        pixels[top:bottom, left:right] = 255 - pixels[top:bottom, left:right]
    return Image.fromarray(pixels)


def prepared(config):
    """Prepares a painted picture for a model; each is prepared once."""

    @cache
    def prepare(size, box=None):
        try:
            return pixels_of(config, painted(size, box))[0]
        except ApETError as error:
            if "torchvision" in error.got and find_spec("torchvision") is None:
                pytest.skip("its image processor needs torchvision")
            raise

    return prepare


def seen(model, modality, parts):
    """Features of a prepared picture, or of the frames of a video, and where they lie."""
    base = model.base_model
    method = getattr(base, modality.method)
    names = list(inspect.signature(method).parameters)
    given = parts[0] if modality.name == "image" else as_video(model, parts)
    if modality.pixels not in names:
        given = {**given, names[0]: given[modality.pixels]}
    given = {name: value for name, value in given.items() if name in names}
    if "high_res_pixel_values" in given:  # of which the processor knows checkpoints' size only
        side = model.config.high_res_vision_config.image_size
        large = torch.nn.functional.interpolate(given["high_res_pixel_values"], (side, side))
        given["high_res_pixel_values"] = large
    with torch.no_grad():
        features = Features.of(method(**given))
    visual = Visual(base, given, features.entries)
    (grids,) = modality.grids(visual, (modality.layout or entries)(visual))
    return features.rows, grids


def as_video(model, parts):
    """Frames that were prepared as pictures, as one clip."""
    pixels = [part["pixel_values"] for part in parts]
    if "image_grid_thw" not in parts[0]:
        return {"pixel_values_videos": torch.cat([x.reshape(-1, *x.shape[-3:])[:1] for x in pixels])[None]}
    times = getattr(getattr(model.base_model, "resampler_model", None), "temporal_merge_size", 1)
    grid = parts[0]["image_grid_thw"].clone()
    grid[:, 0] = len(parts) * times
    found = {
        "pixel_values_videos": torch.cat([x for x in pixels for _ in range(times)]),
        "video_grid_thw": grid,
    }
    if "image_merge_sizes" in parts[0]:
        found["video_merge_sizes"] = parts[0]["image_merge_sizes"]
    return found


def cells(grid):
    """Corners and some places between."""
    rows, columns = (sorted({0, n // 3, n - 1}) for n in (grid.rows, grid.columns))
    return [(row, column) for row in rows for column in columns]


def box_of(grid, row, column, size):
    """The pixels inside of a cell, but for those that resizing may mix with others, and for padding."""
    left, top, right, bottom = grid.area
    across, down = (right - left) / grid.columns, (bottom - top) / grid.rows
    edges = [left + column * across, top + row * down, left + (column + 1) * across, top + (row + 1) * down]
    inner = [
        math.ceil(edge * size[n % 2]) + 1 if n < 2 else math.floor(edge * size[n % 2]) - 1
        for n, edge in enumerate(edges)
    ]
    return tuple(min(max(edge, 0), size[n % 2]) for n, edge in enumerate(inner))


@pytest.mark.parametrize(("name", "kind"), TOLD, ids=map(" ".join, TOLD))
def test_tokens_lie_where_their_pixels_lie(name, kind):
    recipe = RECIPES[name]
    model = recipe.build(recipe.attention[0])
    (modality,) = (one for one in FAMILIES[name.split(" ")[0]].modalities if one.name == kind)
    assert patch_by_patch(model.base_model)
    frames = 2 if kind == "video" else 1
    tried, prepare = 0, prepared(model.config)
    for size in SIZES:
        before, grids = seen(model, modality, [prepare(size)] * frames)
        if size[0] != size[1] and not all(grid.whole for grid in grids):
            continue  # the model sees a part of it
        for grid in grids:
            rows = [(row, place) for row in range(len(before)) if (place := grid.place(row)) is not None]
            for cell in cells(grid):
                box = box_of(grid, *cell, size)
                if box[0] >= box[2] or box[1] >= box[3]:
                    continue
                parts = [prepare(size, box if frame == grid.frame else None) for frame in range(frames)]
                after, _ = seen(model, modality, parts)
                moved = (after - before).norm(dim=-1)
                most = max(rows, key=lambda pair: moved[pair[0]])
                assert moved[most[0]] > 0
                assert most[1] == cell, (size, grid, cell)
                tried += 1
                if frames > 1:
                    others = [one for one in grids if one.frame != grid.frame]
                    still = [row for row in range(len(before)) if any(one.place(row) for one in others)]
                    assert float(moved[still].max()) < float(moved[most[0]])
    assert tried > 3
