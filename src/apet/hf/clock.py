"""Time spent on selecting, without stalling an accelerator."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

import torch


class Clock:
    """Context manager that times what runs on a device.

    On CUDA it records two events, each on the stream that is current on that device then, and reads them only
    when ``seconds`` is asked for, so the device never waits. On other devices it is the time of the host.

    Args:
        device: The device that does the work.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._events: tuple[Any, Any] | None = None
        self._seconds = 0.0

    def __enter__(self) -> Clock:
        if self._device.type == "cuda":
            self._events = (_event(), _event())
            self._record(self._events[0])
        else:
            self._seconds = -time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._events is not None:
            self._record(self._events[1])
        else:
            self._seconds += time.perf_counter()

    def _record(self, event: Any) -> None:
        # Without a stream it would be recorded on that of the current device, whichever that is.
        event.record(torch.cuda.current_stream(self._device))

    @property
    def seconds(self) -> float:
        """Seconds between entry and exit, read from the device the first time."""
        events = self._events
        if events is not None:
            for event in events:
                event.synchronize()
            self._seconds = events[0].elapsed_time(events[1]) / 1000
            self._events = None
        return self._seconds


def _event() -> Any:
    return torch.cuda.Event(enable_timing=True)
