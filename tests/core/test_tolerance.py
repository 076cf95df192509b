"""An error bound in place of a count."""

from __future__ import annotations

import pytest
import torch
from core_oracle import restate_count
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apet.core import ApETError, Segment, compress, compress_ragged

FIELDS = ("basis", "indices", "assignment", "errors", "tokens")
COMMON = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def assert_same(a, b):
    for name in FIELDS:
        assert torch.equal(getattr(a, name), getattr(b, name)), name


@st.composite
def images(draw):
    n, d = draw(st.integers(1, 40)), draw(st.integers(1, 24))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    x = torch.randn(n, d, generator=generator) + draw(st.sampled_from([0.0, 3.0]))
    kind = draw(st.sampled_from(["plain", "copies", "zeros", "massive"]))
    if kind == "copies":
        x = x[torch.randint(0, max(1, n // 3), (n,), generator=generator)]
    elif kind == "zeros":
        x[torch.rand(n, generator=generator) < 0.5] = 0
    elif kind == "massive":
        x[n // 2] *= 3000
    return x.to(draw(st.sampled_from(DTYPES)))


def lost_share(x, result, kept=None):
    """Squared errors of what is dropped over all squared norms; with ``kept`` as if so many were kept."""
    squared = result.errors.double().square()
    squared[result.basis] = torch.inf
    ranked = squared.sort(descending=True).values[result.num_kept if kept is None else kept :]
    return float(ranked.sum() / x.double().square().sum().clamp(min=1e-300))


@COMMON
@given(images(), st.floats(1e-6, 0.5), st.integers(1, 12), st.data())
def test_the_bound_holds_and_no_smaller_number_would_do(x, tolerance, basis_size, data):
    least = data.draw(st.integers(1, len(x)))
    most = data.draw(st.integers(least, len(x)))
    options = {"basis_size": basis_size}
    result = compress(x, tolerance=tolerance, min_keep=least, max_keep=most, **options)
    floor = max(least, min(basis_size, most))
    assert floor <= result.num_kept <= most
    assert_same(result, compress(x, result.num_kept, **options))
    if result.num_kept < most:
        assert lost_share(x, result) <= tolerance * (1 + 1e-6)
    if result.num_kept > floor:
        assert lost_share(x, result, result.num_kept - 1) > tolerance * (1 - 1e-6)


@COMMON
@given(images(), st.lists(st.floats(1e-6, 0.99), min_size=2, max_size=6))
def test_a_larger_tolerance_never_keeps_more(x, tolerances):
    kept = [compress(x, tolerance=share).num_kept for share in sorted(tolerances)]
    assert kept == sorted(kept, reverse=True)


@pytest.mark.parametrize("tolerance", [0.001, 0.01, 0.05, 0.2, 0.7])
@pytest.mark.parametrize("shared", [0.0, 1.0, 4.0])
def test_it_counts_as_trying_every_number_in_float64_does(draw, tolerance, shared):
    x = draw(60, 12, shared=shared)
    assert compress(x, tolerance=tolerance).num_kept == restate_count(x, tolerance)
    bounded = compress(x, tolerance=tolerance, min_keep=14, max_keep=0.5)
    assert bounded.num_kept == restate_count(x, tolerance, 14, 30)


def test_a_blank_page_keeps_little_and_a_dense_one_much(draw):
    line = draw(64)
    blank = line + 0.01 * draw(300, 64, seed=1, shared=0.0)
    mixed = blank.clone()
    mixed[:60] += draw(60, 64, seed=2, shared=0.0)
    dense = line + draw(300, 64, seed=3, shared=0.0)
    kept = [compress(x, tolerance=0.05).num_kept for x in (blank, mixed, dense)]
    assert kept[0] == 10
    assert 10 < kept[1] < 60
    assert kept[2] > 200


@pytest.mark.parametrize("power", [-60, -20, 0, 20, 60])
def test_the_unit_of_the_tokens_does_not_matter(draw, power):
    x = draw(80, 16)
    expected = compress(x, tolerance=0.1, ridge=0.0)
    assert 10 < expected.num_kept < 70
    assert torch.equal(compress(x * 2.0**power, tolerance=0.1, ridge=0.0).indices, expected.indices)


@pytest.mark.parametrize("dtype", DTYPES)
def test_zeros_and_copies_keep_the_least(dtype):
    for x in (torch.zeros(30, 8), torch.ones(30, 8)):
        assert compress(x.to(dtype), tolerance=1e-9).num_kept == 10
        assert compress(x.to(dtype), tolerance=1e-9, basis_size=3, min_keep=5).num_kept == 5


def test_next_to_no_tolerance_loses_next_to_nothing(draw):
    x = draw(30, 8, seed=5)
    assert lost_share(x, compress(x, tolerance=1e-9, ridge=0.0)) < 1e-12
    assert compress(x, tolerance=1e-9, basis_size=4).num_kept == 30


def test_bounds_beyond_what_there_is(draw):
    x = draw(12, 40)
    assert compress(x, tolerance=0.9, min_keep=16).num_kept == 12
    assert compress(x, tolerance=1e-9, max_keep=16).num_kept == 12
    assert compress(x, tolerance=1e-9, min_keep=8, max_keep=0.25).num_kept == 8
    assert compress(x, tolerance=1e-9, max_keep=4).num_kept == 4
    assert compress(x, tolerance=0.9, min_keep=1.0).num_kept == 12


def test_segments_get_what_they_get_alone(draw):
    segments = [
        draw(n, 16, seed=seed, shared=shared)
        for seed, (n, shared) in enumerate([(30, 3.0), (12, 1.0), (30, 0.0), (1, 1.0), (47, 2.0), (30, 3.0)])
    ]
    results = compress_ragged(segments, tolerance=0.1, min_keep=3, basis_size=4)
    for segment, result in zip(segments, results, strict=True):
        assert_same(result, compress(segment, tolerance=0.1, min_keep=3, basis_size=4))
    assert len({result.num_kept for result in results}) > 3
    assert compress_ragged([], tolerance=0.1) == []


def test_starts_are_those_of_the_segments(draw):
    segments = [draw(30, 16), draw(12, 16), draw(30, 16, seed=1)]
    starts = torch.tensor([7, 3, 11])
    for number, result in enumerate(compress_ragged(segments, tolerance=0.2, start=starts)):
        assert_same(result, compress(segments[number], tolerance=0.2, start=int(starts[number])))


def test_one_image_of_a_batch(draw):
    x = draw(1, 40, 16)
    assert_same(compress(x, tolerance=0.2).unbatch()[0], compress(x[0], tolerance=0.2))


@pytest.mark.parametrize("batched", [False, True])
def test_a_callable_is_told_the_segment(draw, batched):
    seen = []

    def half(segment):
        seen.append(segment)
        return 0.5

    x = draw(12, 8)
    assert compress(x[None] if batched else x, half).num_kept == 6
    assert seen == [Segment("image", 0, 0, 12)]
    kept = [r.num_kept for r in compress_ragged([x, x[:7], x], lambda s: 3 + s.image)]
    assert kept == [3, 4, 5]
    about = [Segment("video", 4, 2, 12), Segment("image", 0, 0, 7)]
    keep = {("video", 4, 2): 5, ("image", 0, 0): 1.0}
    results = compress_ragged([x, x[:7]], lambda s: keep[s.modality, s.image, s.part], about=about)
    assert [r.num_kept for r in results] == [5, 7]


X = torch.arange(60, dtype=torch.float32).view(10, 6)
BAD = {
    "nothing": ({}, "neither keep nor tolerance; expected exactly one of keep and tolerance"),
    "both": ({"keep": 4, "tolerance": 0.1}, "keep=4 and tolerance=0.1; expected exactly one"),
    "one": ({"tolerance": 1.0}, r"tolerance=1.0; expected a float in \(0, 1\)"),
    "zero": ({"tolerance": 0}, "tolerance=0.0"),
    "negative": ({"tolerance": -0.1}, "tolerance=-0.1"),
    "nan": ({"tolerance": float("nan")}, "tolerance=nan"),
    "bool": ({"tolerance": True}, "tolerance=True of type bool"),
    "text": ({"tolerance": "0.1"}, "tolerance='0.1' of type str"),
    "min alone": ({"keep": 4, "min_keep": 2}, "min_keep=2 with keep; expected it with tolerance"),
    "max alone": ({"keep": 4, "max_keep": 2}, "max_keep=2 with keep"),
    "min 0": ({"tolerance": 0.1, "min_keep": 0}, "min_keep=0; expected an int of at least 1"),
    "max above 1": ({"tolerance": 0.1, "max_keep": 1.5}, "max_keep=1.5"),
    "crossed": ({"tolerance": 0.1, "min_keep": 9, "max_keep": 8}, "min_keep=9; expected at most max_keep=8"),
    "callable above N": ({"keep": lambda s: 11}, r"keep=11 for 10 tokens \((image 0, part 0|segment 0)\)"),
    "callable of nothing": ({"keep": lambda s: None}, r"keep=None .*\((image 0, part 0|segment 0)\)"),
}


@pytest.mark.parametrize("name", BAD)
def test_errors(name):
    options, message = BAD[name]
    with pytest.raises(ApETError, match="^compress: got " + message):
        compress(X, **options)
    with pytest.raises(ApETError, match="^compress: got " + message):
        compress_ragged([X], **options)


def test_batches_go_to_ragged():
    batch = X.repeat(2, 1, 1)
    for options, got in (({"tolerance": 0.1}, "tolerance=0.1"), ({"keep": lambda s: 3}, "a callable keep")):
        with pytest.raises(ApETError, match=f"{got} for a batch of 2 images; .*compress_ragged"):
            compress(batch, **options)


def test_what_segments_are_has_to_fit():
    for about, message in (
        ([Segment("image", 0, 0, 10)], "about of 1 for 2 segments"),
        ([Segment("image", 0, 0, 10), Segment("image", 1, 0, 9)], r"tokens=9.*segment 1.* of 10 tokens"),
        ([Segment("image", 0, 0, 10), Segment("video", 1, 0, 10, frames=3)], r"frames=3.*equal length"),
        ([Segment("image", 0, 0, 10), None], "None .segment 1"),
    ):
        with pytest.raises(ApETError, match=message):
            compress_ragged([X, X], 4, about=about)
