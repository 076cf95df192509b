"""Images and videos of several kinds, as processors hand them over, and how those of a batch are joined."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain

import torch
from torch import Tensor

from tests.hf.families.enclosed import Tiles, together
from tests.hf.families.recipe import END, IMAGE, START, VIDEO, Piece

Make = Callable[[torch.Generator], Piece]
Around = Callable[[Tiles], list[int]]
PATCH = (3 * 4 * 4,)
"""The shape of a patch of 4 x 4 pixels."""
PAIR = (2 * 3 * 4 * 4,)
"""The same in two frames."""
SQUARED = (3, 4, 4)
FIRST, LAST = 2, 59
"""Ids of tokens around a video of GLM; the tokens of its frames are those of images."""


def bare(tiles: Tiles) -> list[int]:
    """Nothing but the tokens."""
    return [*chain(*tiles)]


def each(tiles: Tiles) -> list[int]:
    """Every frame between tokens of its own."""
    return [*chain(*([START, *tile, END] for tile in tiles))]


def timed(tiles: Tiles) -> list[int]:
    """Every frame between tokens of its own and with its time."""
    return [*chain(*([START, *tile, END, 5] for tile in tiles))]


def all_timed(tiles: Tiles) -> list[int]:
    """As `timed`, with tokens around the video."""
    return [FIRST, *timed(tiles), LAST]


def tiles(count: int, tokens: int, around: Around, side: int = 24, *, masked: bool = False) -> Make:
    """An image of so many square tiles, and what its processor puts around them.

    Args:
        count: Tiles.
        tokens: Visual tokens of a tile.
        around: Makes the image's tokens from those of its tiles.
        side: Height and width of a tile in pixels.
        masked: Whether a mask of the pixels goes with them.
    """

    def piece(generator: torch.Generator) -> Piece:
        tensors = {"pixel_values": torch.randn(count, 3, side, side, generator=generator)}
        if masked:
            tensors["pixel_mask"] = torch.ones(count, side, side, dtype=torch.bool)
        return Piece(around([[IMAGE] * tokens] * count), tensors)

    return piece


def tile_pair(few: int, many: int, tokens: int, around: Around, side: int = 24) -> dict[str, Make]:
    """Images of few and of many tiles, by letter; see `tiles`."""
    return {letter: tiles(count, tokens, around, side) for letter, count in (("i", few), ("j", many))}


def anyres(height: int, width: int, rows: int, columns: int, base: int = 36) -> Make:
    """An image of this size: a base tile, and a grid of tiles with a newline behind every row.

    Args:
        height: In pixels.
        width: In pixels.
        rows: Rows of visual tokens that the grid has.
        columns: As rows.
        base: Visual tokens of the base tile.
    """

    def piece(generator: torch.Generator) -> Piece:
        count = 1 + (height // 24) * (width // 24)
        pixels = torch.zeros(1, 5, 3, 24, 24)  # padded to the most tiles
        pixels[0, :count] = torch.randn(count, 3, 24, 24, generator=generator)
        size = torch.tensor([[height, width]])
        return Piece([IMAGE] * (base + rows * (columns + 1)), {"pixel_values": pixels, "image_sizes": size})

    return piece


def clip(frames: int, tokens: int) -> Make:
    """A video of square frames, with so many tokens in all."""

    def piece(generator: torch.Generator) -> Piece:
        pixels = torch.randn(1, frames, 3, 24, 24, generator=generator)
        return Piece([VIDEO] * tokens, {"pixel_values_videos": pixels})

    return piece


def grid(
    frames: int,
    height: int,
    width: int,
    *,
    video: bool = False,
    around: Around = together,
    shape: tuple[int, ...] = PAIR,
    joined: int = 1,
    kind: int | None = None,
) -> Make:
    """A grid of patches, merged two by two into tokens.

    Args:
        frames: Frames, or pairs of them.
        height: In patches.
        width: In patches.
        video: Whether it is a video.
        around: Makes its tokens from those of its frames.
        shape: Of one patch's pixels.
        joined: How many frames the model merges into one.
        kind: The placeholder, where a video's is not its own.
    """

    def piece(generator: torch.Generator) -> Piece:
        placeholder = kind or (VIDEO if video else IMAGE)
        ids = around([[placeholder] * (height * width // 4)] * (frames // joined))
        pixels = torch.randn(frames * height * width, *shape, generator=generator)
        sizes = torch.tensor([[frames, height, width]])
        if video:
            return Piece(ids, {"pixel_values_videos": pixels, "video_grid_thw": sizes})
        return Piece(ids, {"pixel_values": pixels, "image_grid_thw": sizes})

    return piece


def grids(
    around: Around = together,
    *,
    shape: tuple[int, ...] = PAIR,
    letters: str = "ijvw",
    joined: int = 1,
    kind: int | None = None,
) -> dict[str, Make]:
    """Images of two sizes and videos of two lengths, by letter; see `grid`."""
    made = {
        "i": grid(1, 8, 8, shape=shape),
        "j": grid(1, 8, 12, shape=shape),
    }
    for letter, (frames, height, width) in {"v": (2, 8, 8), "w": (3, 8, 4)}.items():
        made[letter] = grid(
            frames * joined,
            height,
            width,
            video=True,
            around=around,
            shape=shape,
            joined=joined,
            kind=kind,
        )
    return {letter: made[letter] for letter in letters}


def concatenated(inputs: dict[str, Tensor], pieces: list[Piece]) -> dict[str, Tensor]:
    """Every tensor of the pieces, concatenated along its first dimension under its name."""
    names = dict.fromkeys(name for piece in pieces for name in piece.tensors)
    return inputs | {
        name: torch.cat([piece.tensors[name] for piece in pieces if name in piece.tensors]) for name in names
    }


def kinds(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The kind of every token: 0 text, 1 image, 2 video."""
    ids = inputs["input_ids"]
    return {"mm_token_type_ids": (ids == IMAGE).long() + 2 * (ids == VIDEO).long()}


def typed(inputs: dict[str, Tensor], pieces: list[Piece]) -> dict[str, Tensor]:
    """As `concatenated`, with the kinds of tokens."""
    return concatenated(inputs | kinds(inputs), pieces)


def stacked(
    tokens: int, *, marks: bool = False, fine: bool = False
) -> Callable[[dict[str, Tensor], list[Piece]], dict[str, Tensor]]:
    """Tiles of so many tokens in one tensor ``(rows, most tiles, ..)``, padded with zeros.

    Args:
        tokens: Visual tokens of a tile.
        marks: Whether a mask tells real tiles.
        fine: Whether the fine route is asked for.
    """

    def finish(inputs: dict[str, Tensor], pieces: list[Piece]) -> dict[str, Tensor]:
        if not pieces:
            return inputs
        counts = (inputs["input_ids"] == IMAGE).sum(1) // tokens
        real = torch.arange(int(counts.max())) < counts[:, None]
        pixels = torch.zeros(*real.shape, 3, 24, 24)
        pixels[real] = torch.cat([piece.tensors["pixel_values"] for piece in pieces])
        inputs = inputs | {"pixel_values": pixels}
        if marks:
            inputs["pixel_attention_mask"] = real
        if fine:
            inputs["tile_fine_mask"] = torch.ones(len(counts), dtype=torch.bool)
        return inputs

    return finish
