"""Tiny MiniCPM models, with attention alone and with linear attention among it."""

from __future__ import annotations

from itertools import chain

import torch
from torch import Tensor

from tests.hf.families.build import (
    FULL,
    MROPE,
    PLACEHOLDERS,
    PLAIN_TEXT,
    TEXT,
    VISION,
    Build,
    Sizes,
    tiny,
)
from tests.hf.families.enclosed import sliced
from tests.hf.families.pieces import Make, kinds
from tests.hf.families.recipe import END, IMAGE, IMAGES, START, VIDEO, VIDEOS, Piece, Recipe

TOWER = VISION | {"image_size": 48}
TOP = {"insert_layer_id": 0, **PLACEHOLDERS}
LINEAR = {
    "model_type": "qwen3_5_text",
    "rope_parameters": MROPE | {"partial_rotary_factor": 1.0},
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
}
ATTENTION = TEXT | LINEAR | FULL
MIXED = TEXT | LINEAR | {"layer_types": ["linear_attention", "full_attention"] * 2}
MARKS = {
    "image_start_id": START,
    "image_end_id": END,
    "slice_start_id": 41,
    "slice_end_id": 42,
    "newline_id": 57,
}


def _grids(*sizes: tuple[int, int], video: bool = False) -> Make:
    """Grids of patches, merged four by four: an image, or the frames of a video."""

    def piece(generator: torch.Generator) -> Piece:
        patches = sum(height * width for height, width in sizes)
        pixels = torch.randn(1, 3, 4, 4 * patches, generator=generator)
        ids = [VIDEO if video else IMAGE]
        end = "_videos" if video else ""
        each = [ids * (height * width // 16) for height, width in sizes]
        return Piece(
            [*chain(*(sliced([frame]) for frame in each))] if video else sliced(each),
            {f"pixel_values{end}": pixels, f"target_sizes{end}": torch.tensor(sizes)},
        )

    return piece


def _in_one_row(inputs: dict[str, Tensor], pieces: list[Piece]) -> dict[str, Tensor]:
    """Pixels of all images, or of all frames, one behind the other in the last dimension."""

    def joined(name: str) -> Tensor:
        tensors = [piece.tensors[name] for piece in pieces if name in piece.tensors]
        return torch.cat(tensors, dim=-1 if name.startswith("pixel") else 0)

    return inputs | {name: joined(name) for piece in pieces for name in piece.tensors}


def _typed(inputs: dict[str, Tensor], pieces: list[Piece]) -> dict[str, Tensor]:
    return _in_one_row(inputs | kinds(inputs), pieces)


PIECES = {
    "i": _grids((12, 12)),
    "j": _grids((8, 12), (8, 16), (12, 12)),
    "v": _grids((12, 12), (12, 12), video=True),
}
PROMPTS = IMAGES | VIDEOS


def _v4_6(text: Sizes) -> Build:
    return tiny("MiniCPMV4_6", TOWER, text, **TOP)


def _v4_7(text: Sizes) -> Build:
    return tiny("MiniCPMV4_7", TOWER, text, **MARKS, **TOP)


RECIPES = (
    Recipe("minicpmv4_6", _v4_6(ATTENTION), PIECES, _in_one_row, PROMPTS),
    Recipe("minicpmv4_6 mixed", _v4_6(MIXED), PIECES, _in_one_row, PROMPTS, short=True),
    Recipe("minicpmv4_7", _v4_7(ATTENTION), PIECES, _typed, PROMPTS),
    Recipe("minicpmv4_7 mixed", _v4_7(MIXED), PIECES, _typed, PROMPTS, short=True),
    Recipe(
        "minicpm_ocr",
        tiny("MiniCPMOcr", TOWER, PLAIN_TEXT | {"model_type": "llama"}, downsample_mode="16x", **TOP),
        PIECES,
        _in_one_row,
        PROMPTS,
    ),
)
