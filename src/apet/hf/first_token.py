"""When the first token of an answer arrives."""

from __future__ import annotations

import time

__all__ = ["FirstToken"]


class FirstToken:
    """A streamer that notes when the first generated token arrives; generate puts the prompt before it."""

    def __init__(self) -> None:
        self.calls, self.at = 0, 0.0

    def put(self, value: object) -> None:
        """Called with the prompt, then with every token."""
        self.calls += 1
        if self.calls == 2:
            self.at = time.perf_counter()

    def end(self) -> None:
        """Called when generation ends."""
