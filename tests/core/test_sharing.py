"""A total that segments share, given to where the errors are."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apet.core import ApETError, compress, compress_ragged

COMMON = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def plain_and_dense(draw):
    """Two images that hardly differ within, and one that does."""
    line = draw(16)
    quiet = [line + 0.01 * draw(n, 16, seed=n, shared=0.0) for n in (40, 30)]
    return [quiet[0], line + draw(40, 16, seed=9, shared=0.0), quiet[1]]


def restate_shared(segments, even, basis_size, least=1, most=None):
    """Gives tokens one by one to the segment whose next largest error is the largest of all."""
    lists, kept = [], []
    for x, count in zip(segments, even, strict=True):
        result = compress(x, min(count, most or count), basis_size=basis_size)
        rest = torch.ones(len(x), dtype=torch.bool)
        rest[result.basis] = False
        lists.append(result.errors[rest].sort(descending=True).values.tolist())
        kept.append(max(len(result.basis), min(least, len(x))))
        lists[-1] = [torch.inf] * len(result.basis) + lists[-1]
    caps = [max(kept[i], min(len(x), most or len(x))) for i, x in enumerate(segments)]
    while sum(kept) < sum(even) and any(k < c for k, c in zip(kept, caps, strict=True)):
        open_ = [i for i in range(len(kept)) if kept[i] < caps[i]]
        best = max(open_, key=lambda i: (lists[i][kept[i]], -i))
        kept[best] += 1
    return kept


def test_the_total_goes_to_where_the_error_is(draw):
    segments = plain_and_dense(draw)
    kept = [r.num_kept for r in compress_ragged(segments, 12, budget="shared", basis_size=4)]
    assert kept == [4, 28, 4]


@COMMON
@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.integers(0, 2**31), st.data())
def test_it_gives_as_a_plain_restatement_does(lengths, seed, data):
    generator = torch.Generator().manual_seed(seed)
    segments = [torch.randn(n, 8, generator=generator) * 2.0 ** (i % 3) for i, n in enumerate(lengths)]
    keep = data.draw(st.one_of(st.integers(1, min(lengths)), st.floats(0.05, 1.0)))
    options = {}
    if isinstance(keep, int):
        options["min_keep"] = data.draw(st.one_of(st.none(), st.integers(1, keep)))
        options["max_keep"] = data.draw(st.one_of(st.none(), st.integers(keep, 40)))
    results = compress_ragged(segments, keep, budget="shared", basis_size=3, **options)
    even = [r.num_kept for r in compress_ragged(segments, keep)]
    kept = [r.num_kept for r in results]
    assert kept == restate_shared(segments, even, 3, options.get("min_keep") or 1, options.get("max_keep"))
    assert sum(kept) <= sum(even)
    if options.get("max_keep") is None:
        assert sum(kept) == sum(even)
    for x, result in zip(segments, results, strict=True):
        alone = compress(x, result.num_kept, basis_size=3)
        assert torch.equal(result.indices, alone.indices)
        assert torch.equal(result.tokens, alone.tokens)


def test_one_segment_shares_with_nobody(draw):
    x = draw(40, 16)
    (result,) = compress_ragged([x], 0.3, budget="shared")
    assert torch.equal(result.indices, compress(x, 0.3).indices)


def test_a_budget_for_each_is_what_is_shared(draw):
    segments = plain_and_dense(draw)
    kept = [r.num_kept for r in compress_ragged(segments, [6, 5, 0.2], budget="shared", basis_size=2)]
    assert sum(kept) == 6 + 5 + 6
    assert kept[1] > 10


@pytest.mark.parametrize("tolerance", [1e-9, 0.01, 0.1, 0.5, 0.99])
def test_a_shared_bound_is_one_over_all_segments(draw, tolerance):
    segments = plain_and_dense(draw)
    each = compress_ragged(segments, tolerance=tolerance, basis_size=4)
    shared = compress_ragged(segments, tolerance=tolerance, basis_size=4, budget="shared")
    full = compress_ragged(segments, 1.0, basis_size=4)
    energy = sum(float(x.double().square().sum()) for x in segments)

    def lost(kept):
        rest = []
        for result, count in zip(full, kept, strict=True):
            errors = result.errors.double().square()
            errors[result.basis] = torch.inf
            rest += errors.sort(descending=True).values[count:].tolist()
        return sum(rest)

    kept = [r.num_kept for r in shared]
    assert lost(kept) <= tolerance * energy * (1 + 1e-6)
    assert sum(kept) <= sum(r.num_kept for r in each)
    for number in range(3):
        if kept[number] > 4:
            fewer = [count - (i == number) for i, count in enumerate(kept)]
            assert lost(fewer) > tolerance * energy * (1 - 1e-6)


def test_errors(draw):
    segments = plain_and_dense(draw)
    for options, message in (
        ({"keep": 4, "budget": "some"}, "budget='some'; expected 'each' or 'shared'"),
        ({"keep": 4, "budget": "shared", "min_keep": 5}, "min_keep=5; expected at most keep=4"),
        ({"keep": 4, "budget": "shared", "max_keep": 3}, "keep=4; expected at most max_keep=3"),
        ({"keep": 41, "budget": "shared"}, r"keep=41 for 40 tokens \(segment 0\)"),
        ({"budget": "shared"}, "neither keep nor tolerance"),
    ):
        with pytest.raises(ApETError, match=message):
            compress_ragged(segments, **options)


def test_of_equal_costs_the_last_goes_first(draw):
    """The rule that `allocate` tells: whichever segment asked for the odd token, the first gets it."""
    own = draw(30, 8)
    for keep in ([7, 6], [6, 7]):
        found = compress_ragged([own, own], keep, basis_size=3, budget="shared")
        assert [one.num_kept for one in found] == [7, 6]
