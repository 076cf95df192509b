"""Index maps, masks and placing, by hand and against loops."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from apet.core.errors import ApETError
from apet.core.segment import Segment
from apet.hf.cache.index_map import expand_map, invert, pack, take
from apet.hf.cache.masks import continue_index, remap, remap_keys
from apet.hf.cache.record import CacheRecord, Lease
from apet.hf.cache.resume import translate
from apet.hf.prompt.placing import place
from apet.hf.state import Encoded
from apet.methods import ApET

KEEP = torch.tensor([[1, 0, 1, 1, 0, 1], [0, 0, 1, 0, 0, 1]]).bool()
LEASE = Lease(ApET(keep=2), "llava")
INDEX = torch.tensor([[0, 2, 3, 5], [-1, -1, 2, 5]])


def test_pack_fills_short_rows_on_the_left():
    assert torch.equal(pack(KEEP, 4), INDEX)


def test_invert_and_expand():
    assert invert(INDEX, 6).tolist() == [[0, -1, 1, 2, -1, 3], [-1, -1, 2, -1, -1, 3]]
    assert expand_map(INDEX, 6).tolist() == [[0, 0, 1, 2, 2, 3], [0, 0, 2, 2, 2, 3]]


@pytest.mark.parametrize("shape", [(2, 6), (1, 6), (2, 6, 3), (3, 1, 6), (3, 2, 6, 4)])
def test_take(shape):
    x = torch.randn(shape)
    dim = shape.index(6)
    out = take(x, INDEX, dim)
    for row in range(2):
        for slot in range(4):
            column = max(int(INDEX[row, slot]), 0)
            source = x.select(dim - 1, row if x.shape[dim - 1] == 2 else 0).select(dim - 1, column)
            assert torch.equal(out.select(dim - 1, row).select(dim - 1, slot), source)


@pytest.mark.parametrize("dtype", [torch.bool, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("keys", [6, 9])
@pytest.mark.parametrize("heads", [1, 2])
def test_remap_of_4d_masks(dtype, keys, heads):
    old = torch.rand(2, heads, 6, keys) > 0.4
    blocked = False if dtype == torch.bool else torch.finfo(dtype).min
    mask = old if dtype == torch.bool else torch.zeros(old.shape, dtype=dtype).masked_fill(~old, blocked)
    out = remap(mask, INDEX, width=keys if keys > 6 else 0)
    assert out.shape == (2, heads, 4, 4 if keys == 6 else 9)
    for row in range(2):
        for i in range(4):
            for j in range(out.shape[-1]):
                hidden = j >= 4 or INDEX[row, j] < 0
                for head in range(heads):
                    value = blocked if hidden else mask[row, head, max(INDEX[row, i], 0), INDEX[row, j]]
                    assert out[row, head, i, j] == value


def test_2d_masks_over_the_uncompressed_sequence():
    mask = torch.tensor([[1, 1, 1, 1, 1, 1, 1, 0], [0, 0, 1, 1, 1, 1, 1, 1]])
    record = CacheRecord(Lease(ApET(4), "llava"), prompt=6, first=INDEX, first_full=False)
    out = translate(mask, record, 8)
    assert out.tolist() == [[1, 1, 1, 1, 1, 0], [0, 0, 1, 1, 1, 1]]
    assert translate(None, record, 8).tolist() == [[1] * 6, [0, 0, 1, 1, 1, 1]]
    assert translate(None, replace(record, first=INDEX.clamp(min=0), first_full=True), 8) is None


def test_columns_that_follow_the_prompt():
    second = torch.tensor([[0, 3], [-1, 3]])
    assert continue_index(second, 5, 7, 4).tolist() == [[0, 3, 4, 5, 6], [-1, 3, 4, 5, 6]]
    assert continue_index(second, 7, 7, 4).tolist() == [[0, 3, 4, 5, 6, -1, -1], [-1, 3, 4, 5, 6, -1, -1]]
    mask = torch.ones(2, 1, 1, 7, dtype=torch.bool)
    assert remap_keys(mask, continue_index(second, 7, 7, 4))[1, 0, 0].tolist() == [
        False,
        *[True] * 4,
        False,
        False,
    ]


def segment(number, rows):
    return Segment("image", number, 0, len(rows), rows=rows)


def encoded(*lengths):
    """Images of these lengths, without newlines."""
    segments, start = [], 0
    for number, length in enumerate(lengths):
        segments.append(segment(number, torch.arange(start, start + length)))
        start += length
    return Encoded(LEASE, "image", start, tuple(segments), (None,) * len(lengths))


def test_place_assigns_by_length_and_row():
    placeholders = torch.tensor([[0, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]]).bool()
    placed, copies = place(placeholders, encoded(3, 2, 3), 0)
    assert copies == 1
    assert [(p.number, p.row, p.columns.tolist()) for p in placed] == [
        (0, 0, [1, 2, 3]),
        (1, 0, [4, 5]),
        (2, 1, [0, 1, 2]),
    ]


def test_place_knows_repeated_rows():
    row0, row1 = [0, 1, 1, 1], [0, 0, 1, 1]
    placed, copies = place(torch.tensor([row0, row0, row1, row1]).bool(), encoded(1, 2, 2), 5)
    assert copies == 2
    assert [(p.number, p.row) for p in placed] == [(5, 0), (6, 0), (5, 1), (6, 1), (7, 2), (7, 3)]


def test_rows_in_no_segment_take_placeholders_too():
    segments = (segment(0, torch.tensor([0, 2])), segment(1, torch.tensor([3, 4])))
    given = Encoded(LEASE, "image", 6, segments, (None, None))
    placed, _ = place(torch.tensor([[0, 1, 1, 1], [1, 1, 0, 1]]).bool(), given, 0)
    assert [(p.row, p.columns.tolist()) for p in placed] == [(0, [1, 3]), (1, [0, 1])]


@pytest.mark.parametrize(
    ("rows", "lengths"),
    [
        ([[1, 1, 0], [1, 1, 0]], [3, 1]),  # an image that would cross rows
        ([[1, 1, 0], [1, 0, 0]], [2]),
        ([[0, 0, 0]], [2]),
        ([[1, 1, 1], [1, 0, 0]], [2]),
    ],
)
def test_place_refuses_what_does_not_fit(rows, lengths):
    with pytest.raises(ApETError, match="placeholders"):
        place(torch.tensor(rows).bool(), encoded(*lengths), 0)
