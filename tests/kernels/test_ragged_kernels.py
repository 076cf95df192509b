"""Segments of different length in one launch."""

from __future__ import annotations

import pytest
import torch
from kernel_oracle import by_core, check, same_bits

from apet.core import ApETError, compress, compress_ragged

LENGTHS, KEEPS = (40, 3, 17, 40, 1), (9, 3, 2, 20, 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_segment_gets_what_it_gets_alone(draw, dtype):
    segments = [draw(n, 24, seed=i, dtype=dtype) for i, n in enumerate(LENGTHS)]
    results = compress_ragged(segments, list(KEEPS), basis_size=4)
    core = by_core(compress_ragged, segments, list(KEEPS), basis_size=4)
    for segment, keep, ours, expected in zip(segments, KEEPS, results, core, strict=True):
        check(ours, expected, segment)
        assert same_bits(ours, compress(segment, keep, basis_size=4))


def test_starts_without_merging_and_with_gradients(draw):
    segments = [draw(n, 8, seed=n).requires_grad_(n == 12) for n in (12, 20)]
    start = torch.tensor([3, 7])
    plain = compress_ragged(segments, 5, start=start, basis_size=2, merge=False)
    assert [int(result.basis[0]) for result in plain] == [3, 7]
    assert all(torch.equal(r.tokens, s[r.indices]) for r, s in zip(plain, segments, strict=True))
    merged = compress_ragged(segments, 5, start=start, basis_size=2)
    assert [result.tokens.requires_grad for result in merged] == [True, False]


def test_the_error_names_the_segment(draw):
    segments = [draw(12, 8), draw(9, 8)]
    segments[1][4] = torch.nan
    with pytest.raises(ApETError, match=r"segment 1") as error:
        compress_ragged(segments, 5)
    with pytest.raises(ApETError) as core:
        by_core(compress_ragged, segments, 5)
    assert "NaN" in str(error.value)
    assert "segment" in str(core.value)
