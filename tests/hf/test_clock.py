"""The clock of selections."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch

from apet.hf import clock


class Event:
    """Stands in for one of CUDA: remembers its stream."""

    made: ClassVar[list[Event]] = []
    waits = 0

    def __init__(self, enable_timing=False):
        assert enable_timing
        Event.made.append(self)

    def record(self, stream):
        self.stream = stream

    def synchronize(self):
        Event.waits += 1

    def elapsed_time(self, other):
        assert self.stream is not None
        assert other.stream is not None
        return 250.0


@pytest.fixture
def cuda(monkeypatch):
    """Two GPUs with a current stream each; the first is the current one."""
    Event.made, Event.waits = [], 0
    streams = {torch.device("cuda:0"): ["main"], torch.device("cuda:1"): ["side"]}
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device=None: streams[device][-1])
    return streams


def test_events_are_recorded_on_the_device_of_the_clock(cuda):
    with clock.Clock(torch.device("cuda:1")):
        pass
    assert [event.stream for event in Event.made] == ["side", "side"]


def test_each_event_is_recorded_on_the_stream_of_its_time(cuda):
    with clock.Clock(torch.device("cuda:0")):
        cuda[torch.device("cuda:0")].append("capture")
    assert [event.stream for event in Event.made] == ["main", "capture"]


def test_the_device_is_waited_for_when_seconds_are_asked_for_and_once(cuda):
    with clock.Clock(torch.device("cuda:1")) as outer, clock.Clock(torch.device("cuda:0")) as inner:
        assert not Event.waits
    assert (outer.seconds, inner.seconds, outer.seconds, inner.seconds) == (0.25,) * 4
    assert Event.waits == 4
    with outer:
        pass
    assert outer.seconds == 0.25
    assert Event.waits == 6


def test_on_a_cpu_it_is_the_time_of_the_host():
    with clock.Clock(torch.device("cpu")) as outer, clock.Clock(torch.device("cpu")) as inner:
        pass
    assert 0 < inner.seconds < outer.seconds
