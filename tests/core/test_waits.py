"""How often a decision waits for the device, counted on a simulated one."""

from __future__ import annotations

import pytest
import torch
from tests.selections import tensors_of
from tests.simulated_device import DEVICE, to_device, to_host, watching

from apet.core import ApETError, Options, Segment, compress, compress_ragged, select
from apet.core.finite import look_once, reading
from apet.core.measure import score

LENGTHS = (30, 44, 30, 60, 44, 20, 21, 22, 23)
ONE_BY_ONE = [Segment("video", 0, part, 20) for part in range(6)]


def assert_same(device, host):
    for name, value in tensors_of(host).items():
        assert torch.equal(to_host(getattr(device, name)), value), name


def segments(draw):
    return [draw(length, 24, seed=length) for length in LENGTHS]


@pytest.mark.parametrize("basis", ["fps", "dpc", "random"])
@pytest.mark.parametrize(
    "options", [{"keep": 9}, {"keep": 0.5, "start": 3}, {"tolerance": 0.2}, {"tolerance": 0.3, "max_keep": 4}]
)
def test_an_image_waits_once(draw, basis, options):
    if basis != "fps" and "start" in options:
        options = {"keep": 0.5}
    x = draw(60, 24)
    with watching() as log:
        found = compress(to_device(x), basis=basis, **options)
    assert len(log.waits) == 1, log.waits
    assert not log.mismatches
    assert_same(found, compress(x, basis=basis, **options))


@pytest.mark.parametrize(
    "options",
    [
        {"keep": 9},
        {"keep": [9, 10, 9, 5, 6, 0.5, 3, 4, 0.5]},
        {"keep": 9, "budget": "shared"},
        {"keep": 12, "budget": "shared", "min_keep": 2, "max_keep": 0.5},
        {"keep": 4, "budget": "shared"},
        {"tolerance": 0.2},
        {"tolerance": 0.2, "budget": "shared"},
        {"keep": 9, "start": 3},
        {"keep": 9, "start": torch.arange(9)},
    ],
)
def test_many_segments_wait_once(draw, options):
    given = segments(draw)
    with watching() as log:
        found = compress_ragged(to_device(given), **options)
    assert len(log.waits) == 1, log.waits
    assert not log.mismatches
    for one, other in zip(found, compress_ragged(given, **options), strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("options", [{"tolerance": 0.1}, {"keep": 5, "budget": "shared"}])
def test_frames_wait_once(draw, options):
    given = [draw(20, 24) + 0.1 * draw(20, 24, seed=part) for part in range(6)]
    with watching() as log:
        found = compress_ragged(to_device(given), about=ONE_BY_ONE, basis_size=3, **options)
    assert len(log.waits) == 1, log.waits
    for one, other in zip(
        found, compress_ragged(given, about=ONE_BY_ONE, basis_size=3, **options), strict=True
    ):
        assert_same(one, other)


def test_no_look_no_wait(draw):
    x = draw(60, 24)
    with watching() as log:
        found = compress(to_device(x), 9, check_finite=False)
        compress_ragged(to_device(segments(draw)), 9, check_finite=False)
    assert log.waits == []
    assert_same(found, compress(x, 9))


@pytest.mark.parametrize("scale", [1e25, 1e-25, 0.0])
@pytest.mark.parametrize(
    "options",
    [{"keep": 9}, {"keep": 9, "budget": "shared"}, {"tolerance": 0.2}, {"keep": 4, "budget": "shared"}],
)
def test_unusual_segments_decide_as_on_a_cpu(draw, scale, options):
    given = segments(draw)
    given[3] = given[3] * scale
    with watching() as log:
        found = compress_ragged(to_device(given), **options)
    for one, other in zip(found, compress_ragged(given, **options), strict=True):
        assert_same(one, other)
    if options == {"keep": 9}:
        assert len(log.waits) == (2 if scale > 1 else 1), log.waits


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("options", [{"keep": 9}, {"keep": 9, "budget": "shared"}, {"tolerance": 0.2}])
def test_the_error_names_the_segment(draw, value, options):
    given = segments(draw)
    given[4][7, 5] = value
    with watching(), pytest.raises(ApETError, match=r"with NaN or infinite values .*segments? .*4"):
        compress_ragged(to_device(given), **options)


def test_a_device_start_is_one_wait_more(draw):
    with watching() as log:
        compress(to_device(draw(2, 60, 24)), 9, start=to_device(torch.tensor([3, 4])))
    assert len(log.waits) == 2


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_what_is_known_changes_no_bit(draw, dtype):
    x = draw(2, 60, 24, dtype=dtype)
    expected = select(x, 9)
    for how in ("ordinary", "finite"):
        with reading(how), watching() as log:
            found = select(to_device(x), 9)
            assert look_once([x], "compress") == how
        assert log.waits == []
        assert_same(found, expected)


def test_a_look_tells_the_kinds_apart(draw):
    x, large = draw(40, 24), draw(40, 24)
    large[3] *= 1e20
    with watching() as log:
        assert look_once(to_device([x, x[:9]]), "compress") == "ordinary"
        assert len(log.waits) == 1
        assert look_once(to_device([x, 0 * x]), "compress") == "finite"
        assert len(log.waits) == 2
        assert look_once(to_device([x, large]), "compress") == "finite"
        with pytest.raises(ApETError, match=r"first in image 1"):
            look_once(to_device([x.double(), 1e300 * x.double()]), "compress", "image")
    assert look_once([x, torch.full_like(x, torch.nan)], "compress") == "look"
    assert look_once([], "compress") == "look"


def test_errors_are_found_once(draw, monkeypatch):
    """For a tolerance and then for the decision: the same, as long as the basis is."""
    import apet.core.measure as measure

    calls = []
    original = measure.approximation_errors
    monkeypatch.setattr(
        measure, "approximation_errors", lambda *args: calls.append(args[1].shape) or original(*args)
    )
    x = draw(60, 24)
    compress(x, tolerance=0.2)
    compress_ragged([x, x[:30]], 20, budget="shared")
    assert calls == [(1, 10), (1, 10), (1, 10)]
    calls.clear()
    # A basis cut to four tokens is found anew where more are kept.
    both = compress_ragged([x, 0.01 * x], 4, budget="shared")
    assert [shape[1] for shape in calls[:1]] == [4]
    for one in both:
        kept = compress(x if one is both[0] else 0.01 * x, one.num_kept)
        assert torch.equal(one.indices, kept.indices)
        assert torch.equal(one.basis, kept.basis)


def test_scores_can_be_batched_anew(draw):
    x = draw(3, 40, 24)
    x[1] *= 1e25
    scored = [score(part.unsqueeze(0), 9, Options()).measured for part in x]
    assert [part.scale is None for part in scored] == [True, False, True]
    joined = type(scored[0]).batch(scored)
    expected = select(x, 9)
    found = select(x, 9, measured=joined)
    for name, value in tensors_of(expected).items():
        assert torch.equal(getattr(found, name), value), name
    assert type(joined).batch([scored[0], score(x[:1], 4, Options()).measured]) is None


def test_the_simulated_device_sees_waits():
    x = to_device(torch.arange(6.0))
    code = compile(
        "def run(x, host, torch):\n"
        "    bool(x.sum() > 1); x.tolist(); x.nonzero(); x[x > 2]; x.cpu(); x.to('cpu')\n"
        "    torch.tensor([1], device=x.device); host.to(x.device); torch.bincount(x.long())\n"
        "    torch.equal(x, x); x[torch.tensor([1])]; x[x.long()] = torch.tensor(1.0); x.new_tensor([1.0])\n"
        "    x[[1, 2]]; x[None, [0, 1]]; x[[1]] = 3; x[x > 2] = 4; x[1] = 5; x[None, 1:]; x[x.argmax()]\n"
        "    host.to(x.device, non_blocking=True); x + host; x + 1; x.numpy()\n",
        "/somewhere/apet/example.py",
        "exec",
    )
    scope: dict = {}
    exec(code, scope)
    with watching() as log:
        scope["run"](x, torch.ones(6), torch)
    lines = [int(event.where.removeprefix("apet/example.py:")) for event in log.waits]
    assert [lines.count(line) for line in (2, 3, 4, 5, 6)] == [6, 3, 4, 6, 1], log.waits
    assert [event.where for event in log.copies + log.mismatches] == ["apet/example.py:6"] * 2
    assert x.device == DEVICE
    x.sum().item()
    assert len(log.waits) == 20
