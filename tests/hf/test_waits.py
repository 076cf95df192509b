"""What a prefill costs the host: waits for the device and launches, whatever the batch, images and family."""

from __future__ import annotations

import pytest
import torch

from apet.app.known import KNOWN, build, inputs, tiny
from apet.core.segment import Segment
from apet.hf import compressing
from apet.hf.choice.stage1 import compress_segments
from apet.methods import ApET, Stage2
from tests.simulated_device import to_device, watching

METHODS = {
    "one stage": ApET(keep=8),
    "two stages": ApET(keep=12, stage2=Stage2(layer=1, keep=6)),
    "tolerance": ApET(tolerance=0.3, min_keep=2),
}
LIMIT = {"one stage": 6, "two stages": 10, "tolerance": 6}


def prefill(name: str, batch: int, method: ApET, steps: int = 1):
    """The log of a generation on the simulated device."""
    torch.manual_seed(0)
    model = build(tiny(KNOWN[name]), "cpu", torch.float32, "eager")
    given = to_device(inputs(model, batch, 6, 6))
    model = to_device(model)
    with compressing(model, method), watching() as log:
        model.generate(**given, max_new_tokens=steps, min_new_tokens=steps, do_sample=False)
    return log


@pytest.mark.parametrize("kind", METHODS)
@pytest.mark.parametrize("name", ["llava-1.5-7b", "qwen2.5-vl-7b", "video-llava-7b"])
def test_waits_and_launches_do_not_grow(name, kind):
    method = METHODS[kind]
    logs = {batch: prefill(name, batch, method) for batch in (1, 8)}
    for log in logs.values():
        assert len(log.waits) <= LIMIT[kind], log.waits
        assert not log.mismatches
    assert len(logs[1].waits) == len(logs[8].waits)
    few, many = (sum("/hf/" in event.where for event in logs[batch].launches) for batch in (1, 8))
    if kind != "tolerance":  # there images keep unequally many, and each number is a group
        assert many <= few + 5


@pytest.mark.parametrize("kind", METHODS)
def test_decode_waits_for_nothing(kind):
    one, three = (prefill("llava-1.5-7b", 2, METHODS[kind], steps) for steps in (1, 3))
    assert len(one.waits) == len(three.waits)


def test_rows_are_written_once():
    """Images of many sizes: as many rows are moved as if they were of one, not the features once per size."""
    moved = {}
    for name, sizes in (("equal", [24] * 32), ("many", range(8, 40))):
        rows = torch.randn(sum(sizes), 16)
        ends = torch.tensor(list(sizes)).cumsum(0).tolist()
        segments = [
            Segment("image", number, 0, size, rows=torch.arange(end - size, end))
            for number, (size, end) in enumerate(zip(sizes, ends, strict=True))
        ]
        with watching() as log:
            compress_segments(ApET(keep=4), to_device(rows), segments)
        moved[name] = [event.kind for event in log.launches if "/hf/" in event.where]
        assert len(log.waits) <= 2
    assert not any("index_put" in kind or "index_copy" in kind for kind in moved["many"])
