"""When the first token of an answer arrives."""

from __future__ import annotations

import time
from collections.abc import Callable


class FirstToken:
    """A streamer that notes when the first generated token arrives; generate puts the prompt before it.

    Args:
        clock: Tells the time.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self.calls, self.at = 0, 0.0

    def put(self, value: object) -> None:
        """Called with the prompt, then with every token."""
        self.calls += 1
        if self.calls == 2:
            self.at = self.clock()

    def end(self) -> None:
        """Called when generation ends."""
