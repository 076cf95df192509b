"""Places of tokens, as far as families tell them; no vLLM needed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch

from apet.core import ApETError
from apet.methods import Informed, Picked
from apet.vllm.compress import compress_items
from apet.vllm.parts import Parts, equal_parts
from apet.vllm.settings import server_method
from apet.vllm.where import from_newlines, in_grids, in_squares

SEEN = []


@dataclass(frozen=True)
class Records(Informed):
    """Keeps the first tokens, and writes down where they lie."""

    needs: ClassVar[frozenset[str]] = frozenset({"places"})

    def pick(self, tokens, kept, context):
        for own, index in zip(tokens.data, context.places.index, strict=True):
            SEEN.append((own[:, 0].int().tolist(), index.tolist(), context.places.extents))
        return Picked(torch.arange(kept).expand(len(tokens.data), -1))


def seen(parts, where):
    """Per part: its tokens, by number, and their places."""
    SEEN.clear()
    items = [torch.arange(len(own.of), dtype=torch.float32)[:, None].expand(-1, 4) for own in parts]
    told = [replace(own, where=places) for own, places in zip(parts, where, strict=True)]
    compress_items(Records(1), items, told)
    return sorted(SEEN)


def ones(of):
    return Parts(of.to(torch.int32), torch.ones(int(of.max()) + 1, dtype=torch.int32))


def test_squares():
    parts = [ones(equal_parts(18, 2)), ones(equal_parts(4, 1))]
    raster = [[0, row, column] for row in range(3) for column in range(3)]
    small = [[0, row, column] for row in range(2) for column in range(2)]
    assert seen(parts, in_squares(parts)) == [
        (list(range(4)), small, ((2, 2),)),
        (list(range(9)), raster, ((3, 3),)),
        (list(range(9, 18)), raster, ((3, 3),)),
    ]
    with pytest.raises(ApETError, match="places of 18 tokens as one; expected unit='part'"):
        in_squares([ones(torch.zeros(18))])


def test_newlines_end_rows():
    """A base tile of 2 x 2, then two tiles side by side, 2 rows of 2 + 1 columns, each row with a newline."""
    of = torch.tensor([0, 0, 0, 0, 1, 1, 2, -1, 1, 1, 2, -1])
    parts = [ones(of)]
    assert seen(parts, from_newlines(parts)) == [
        ([0, 1, 2, 3], [[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1]], ((2, 2),)),
        ([4, 5, 8, 9], [[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1]], ((2, 2),)),
        ([6, 10], [[0, 0, 0], [0, 1, 0]], ((2, 1),)),
    ]


def test_frames_of_one_row():
    where = [torch.tensor([[0, 0], [0, 1], [0, 0], [0, 1], [0, 0], [0, 1]])]
    ((_, index, extents),) = seen([ones(torch.zeros(6))], where)
    assert [place[0] for place in index] == [0, 0, 1, 1, 2, 2]
    assert extents == ((1, 2),) * 3


def test_grids_of_frames():
    where = in_grids([[3, 4, 8]], merge=2)
    frames = [ones(equal_parts(24, 3))]
    raster = [[0, row, column] for row in range(2) for column in range(4)]
    found = seen(frames, where)
    assert found == [(list(range(8 * n, 8 * n + 8)), raster, ((2, 4),)) for n in range(3)]
    ((tokens, index, extents),) = seen([ones(torch.zeros(24))], where)
    assert tokens == list(range(24))
    assert index == [[frame, row, column] for frame in range(3) for _, row, column in raster]
    assert extents == ((2, 4),) * 3


def test_a_server_may_be_told_places():
    assert server_method(SimpleNamespace(apet={"keep": 0.5, "method": "evs"})).needs == {"places"}
