"""The token that the grid says is under a pixel is the one whose feature moves when that pixel is repainted.

Real image processors and tiny models of four layouts: a square, a wide grid, packed tiles, frames of a video.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from apet.hf import compressing
from apet.hf.choice.features import Features
from apet.methods import ApET
from apet.pictures.plot import grid_over, read
from tests.hf.families import RECIPES
from tests.hf.families.recipe import END, IMAGE, START, VIDEO, Piece, batch

CHECKED = 16
"""Tokens tried of each layout; a few hundred would make no difference but take time."""


def _square(pictures):
    processor = transformers.CLIPImageProcessor(size={"height": 24, "width": 24}, do_center_crop=False)
    return dict(processor(images=pictures[0], return_tensors="pt"))


def _wide(pictures):
    processor = transformers.Qwen2VLImageProcessorPil(
        patch_size=4, merge_size=2, size={"shortest_edge": 64, "longest_edge": 100_000}
    )
    return dict(processor(images=pictures, return_tensors="pt"))


def _tiles(pictures):
    processor = transformers.LlavaNextImageProcessorPil(
        size={"shortest_edge": 24},
        crop_size={"height": 24, "width": 24},
        image_grid_pinpoints=[[24, 48], [48, 24], [48, 48]],
    )
    return dict(processor(images=pictures[0], return_tensors="pt"))


def _clip(pictures):
    """Two frames to a group: the patches of two pictures, one after the other in each patch."""
    single = _wide(pictures)
    patches = single["pixel_values"].reshape(len(pictures) // 2, 2, -1, 3, 2, 4, 4)
    pairs = torch.stack([patches[:, 0, :, :, 0], patches[:, 1, :, :, 1]], dim=3)
    _, height, width = single["image_grid_thw"][0].tolist()
    grid = torch.tensor([[len(pictures) // 2, height, width]])
    return {"pixel_values_videos": pairs.reshape(-1, 3 * 2 * 4 * 4), "video_grid_thw": grid}


def _frames(pictures):
    pixels = np.stack([np.asarray(one.resize((24, 24), Image.Resampling.BICUBIC)) for one in pictures])
    return {"pixel_values_videos": torch.from_numpy(pixels).permute(0, 3, 1, 2)[None] / 127.5 - 1}


LAYOUTS = {
    "square": ("llava", _square, [(24, 24)], {}),
    "wide": ("qwen2_5_vl", _wide, [(160, 48)], {}),
    "tall": ("qwen3_vl", _wide, [(32, 96)], {}),
    "tiles": ("llava_next", _tiles, [(90, 60)], {}),
    "wide tiles": ("llava_next", _tiles, [(96, 40)], {}),
    "whole tiles": ("llava_next", _tiles, [(60, 90)], {"unit": "whole"}),
    "video": ("qwen2_5_vl", _clip, [(64, 32)] * 4, {}),
    "whole video": ("llava_onevision", _frames, [(48, 48)] * 3, {"unit": "whole"}),
}


def _features(base, tensors):
    method = base.get_video_features if "pixel_values_videos" in tensors else base.get_image_features
    return Features.of(method(**tensors, return_dict=True)).rows


def _short_sighted(model):
    """Without attention in the vision encoder, a patch tells of its own pixels alone."""
    cut = 0
    for name, module in model.base_model.named_modules():
        if "vis" in name and name.endswith(("self_attn.out_proj", "attn.proj")):
            torch.nn.init.zeros_(module.weight)
            torch.nn.init.zeros_(module.bias)
            cut += 1
    assert cut
    return model


@pytest.mark.parametrize("name", LAYOUTS)
@torch.no_grad()
def test_the_token_under_a_pixel_is_the_one_that_moves(name):
    family, process, sizes, options = LAYOUTS[name]
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(90, 166, (h, w, 3), np.uint8)) for w, h in sizes]
    tensors = process(pictures)
    recipe = RECIPES[family]
    model = _short_sighted(recipe.build("sdpa"))
    plain = _features(model.base_model, tensors)
    placeholder = VIDEO if len(pictures) > 1 else IMAGE
    piece = Piece([START, *[placeholder] * len(plain), END], tensors)
    recipe = replace(recipe, pieces={"p": lambda _: piece})
    with compressing(model, ApET(0.5, **options)) as session:
        model(**batch(recipe, [["p", 3]]))
    frames, (decision,) = read(pictures if len(pictures) > 1 else pictures[0], [session])
    grid = grid_over(frames, decision, 480)
    assert (np.bincount(grid.tokens[grid.tokens >= 0], minlength=len(decision.kept)) > 0).all()
    for token in rng.choice(len(decision.kept), min(CHECKED, len(decision.kept)), replace=False):
        left, top, right, bottom = grid.boxes[token]
        x, y = (left + right) // 2, (top + bottom) // 2
        assert grid.tokens[y, x] == token
        (number,) = [
            n for n, v in enumerate(grid.views) if v.box[0] <= x < v.box[2] and v.box[1] <= y < v.box[3]
        ]
        view, one = grid.views[number], decision.grids[number]
        # From the panel back to the picture.
        groups = 1 + max(v.frame for v in grid.views)
        frame = view.frame * len(pictures) // groups
        width, height = pictures[frame].size
        size = view.box[2] - view.box[0], view.box[3] - view.box[1]
        shares = np.array([left, top, right, bottom]) - [*view.box[:2], *view.box[:2]]
        start, end = np.array(view.area[:2]), np.array(view.area[2:])
        box = shares / [*size, *size] * [*(end - start), *(end - start)] + [*start, *start]
        box *= [width, height, width, height]
        repainted = [picture.copy() for picture in pictures]
        repainted[frame].paste((255, 0, 0), tuple(round(edge) for edge in box))
        moved = (_features(model.base_model, process(repainted)) - plain).norm(dim=-1)
        rows = [row for row in decision.rows if one.place(row) is not None]
        assert rows[int(moved[rows].argmax())] == decision.rows[token], (token, box)
