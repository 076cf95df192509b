from __future__ import annotations

import pytest
import torch

import apet.core.grouping as grouping
import apet.core.ragged as ragged
from apet.core import ApETError, compress, compress_ragged, group_segments, select

FIELDS = ("basis", "indices", "assignment", "errors", "tokens")


def assert_same(a, b):
    for name in FIELDS:
        assert torch.equal(getattr(a, name), getattr(b, name)), name


@pytest.mark.parametrize("basis", ["fps", "dpc", "random"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_each_segment_gets_what_it_gets_alone(draw, basis, dtype):
    lengths = [30, 12, 30, 1, 47, 12, 30]
    segments = [draw(n, 16, seed=i, dtype=dtype) for i, n in enumerate(lengths)]
    keeps = [0.3, 5, 9, 1, 47, 0.5, 0.31]
    for result, segment, keep in zip(
        compress_ragged(segments, keeps, basis=basis), segments, keeps, strict=True
    ):
        assert_same(result, compress(segment, keep, basis=basis))
        assert not result.batched


def test_one_segment_twice_and_beside_other_sizes(draw):
    x = draw(40, 16)
    alone = compress_ragged([x], 0.25)[0]
    for others in ([x, x], [draw(7, 16), x, draw(90, 16)], [x, draw(40, 16, seed=4), x]):
        for segment, result in zip(others, compress_ragged(others, 0.25), strict=True):
            if segment is x:
                assert_same(result, alone)


def test_equal_segments_run_as_one_dense_batch(draw, monkeypatch):
    shapes = []

    def spy(tokens, keep, *rest, **more):
        shapes.append((tuple(tokens.shape), keep))
        return select(tokens, keep, *rest, **more)

    monkeypatch.setattr(ragged, "select", spy)
    segments = [draw(n, 8) for n in (20, 10, 20, 20, 10)]
    compress_ragged(segments, [4, 5, 4, 6, 0.5])
    assert shapes == [((2, 20, 8), 4), ((2, 10, 8), 5), ((1, 20, 8), 6)]


def test_dense_batches_are_bounded(draw, monkeypatch):
    segments = [draw(20, 8, seed=i) for i in range(5)]
    whole = compress_ragged(segments, 4)
    monkeypatch.setattr(grouping, "_CPU_BYTES", 2 * 20 * 8 * 4)
    assert group_segments(segments, [4] * 5) == [[0, 1], [2, 3], [4]]
    for one, other in zip(whole, compress_ragged(segments, 4), strict=True):
        assert_same(one, other)


def test_starts(draw):
    segments = [draw(n, 8) for n in (20, 10, 20)]
    assert [int(r.basis[0]) for r in compress_ragged(segments, 4, start=torch.tensor([15, 3, 2]))] == [
        15,
        3,
        2,
    ]
    assert [int(r.basis[0]) for r in compress_ragged(segments, 4, start=9)] == [9, 9, 9]
    with pytest.raises(
        ApETError, match=r"start=15 for 10 tokens \(segment 1\); expected an int between 0 and 9"
    ):
        compress_ragged(segments, 4, start=torch.tensor([15, 15, 2]))
    with pytest.raises(ApETError, match=r"start=10 for 10 tokens"):
        compress_ragged(segments, 4, start=10)
    with pytest.raises(ApETError, match=r"start of shape \(2,\)"):
        compress_ragged(segments, 4, start=torch.tensor([1, 2]))


def test_no_segments():
    assert compress_ragged([], 4) == []
    assert compress_ragged((), []) == []


def test_gradients(draw):
    segments = [draw(n, 8).requires_grad_() for n in (20, 10, 20)]
    sum(result.tokens.sum() for result in compress_ragged(segments, 4)).backward()
    assert all((segment.grad > 0).all() for segment in segments)


def test_errors_name_the_segment(draw):
    good, bad = draw(10, 8), draw(10, 8)
    bad[3, 3] = torch.nan
    cases = [
        (([good, torch.zeros(2, 3, 8)], 4), r"shape \(2, 3, 8\) \(segment 1\); expected shape \(N, d\)"),
        (([good, good[:0]], 4), r"empty tokens of shape \(0, 8\) \(segment 1\)"),
        (([good, good.long()], 4), r"dtype torch.int64 \(segment 1\)"),
        (([good, good[:3]], 4), r"keep=4 for 3 tokens \(segment 1\); expected an int between 1 and 3"),
        (([good, good], [4]), r"1 budgets for 2 segments"),
        (([good, good], [4, True]), r"keep=True .*\(segment 1\)"),
        (([good, draw(10, 9)], 4), r"segment 1 of width 9, .* expected width 8"),
        (([good, good.double()], 4), r"segment 1 of width 8, torch.float64"),
        (([good[:5], bad], 4), r"NaN or infinite values .*\(segment 1\)"),
        ((good, 4), r"segments of type Tensor"),
        (([good, None], 4), r"tokens of type NoneType \(segment 1\)"),
        (([good], "0.5"), r"keep='0.5' of type str"),
    ]
    for arguments, message in cases:
        with pytest.raises(ApETError, match="^compress: got .*" + message):
            compress_ragged(*arguments)
