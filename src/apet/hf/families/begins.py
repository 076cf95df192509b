"""Which tiles are one image, where features do not tell it: what stands around them in the prompt tells it.

A processor encloses all tiles of an image by tokens of its own. Their ids are the tokenizer's, which a model
does not have; so rules compare what stands beside the tiles of one prompt, and know no id.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from torch import Tensor

Begins = Callable[[Tensor, Sequence[tuple[int, int]]], list[bool]]
"""Whether each tile of a prompt begins an image.

It is given the prompt's ids ``(L,)``, and the first and last column of every tile.
"""


def touching(ids: Tensor, tiles: Sequence[tuple[int, int]]) -> list[bool]:
    """Tiles of an image follow each other with nothing between them, and something stands between images."""
    return [number == 0 or tiles[number - 1][1] + 1 < first for number, (first, _) in enumerate(tiles)]


def by_mark(side: Literal["before", "after"], of: Literal["first", "last"]) -> Begins:
    """Every image's first tile, or every image's last one, has the same token beside it, and no other has it.

    Args:
        side: Where the token stands.
        of: Which tile it marks. The prompt's first tile is the first of an image, and its last the last of
            one: so these show the token.
    """

    def begins(ids: Tensor, tiles: Sequence[tuple[int, int]]) -> list[bool]:
        tokens: list[int] = ids.tolist()
        places = [first - 1 if side == "before" else last + 1 for first, last in tiles]
        marks = [tokens[place] if 0 <= place < len(tokens) else None for place in places]
        if of == "first":
            return [mark == marks[0] for mark in marks]
        return [True, *(mark == marks[-1] for mark in marks[:-1])]

    return begins
