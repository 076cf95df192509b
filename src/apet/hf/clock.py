"""Time spent on selecting, without stalling an accelerator."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

import torch

__all__ = ["Clock"]


class Clock:
    """Context manager that times what runs on a device.

    On CUDA it records two events and reads them only when ``seconds`` is asked for, so the device never
    waits. On other devices it is the time of the host.

    Args:
        device: The device that does the work.
    """

    def __init__(self, device: torch.device) -> None:
        self._events = (_event(), _event()) if device.type == "cuda" else None
        self._seconds = 0.0

    def __enter__(self) -> Clock:
        if self._events is not None:
            self._events[0].record()
        else:
            self._seconds = -time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._events is not None:
            self._events[1].record()
        else:
            self._seconds += time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds between entry and exit."""
        if self._events is not None:
            self._events[1].synchronize()
            self._seconds = self._events[0].elapsed_time(self._events[1]) / 1000
            self._events = None
        return self._seconds


def _event() -> Any:
    return torch.cuda.Event(enable_timing=True)
