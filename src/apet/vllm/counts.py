"""How many visual tokens a request had and has: counted by the processor, told by the server's metrics."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

COUNT = "apet_count"
"""Where the server puts a `Count` among a request's ``mm_processor_kwargs``."""


class Count:
    """The images and videos of one HTTP request.

    Attributes:
        of: For each modality how many there are, and their visual tokens before and after compression.
    """

    def __init__(self) -> None:
        self.of: dict[str, tuple[int, int, int]] = {}

    def add(self, modality: str, before: int, after: int) -> None:
        """Counts an image or video."""
        items, *tokens = self.of.get(modality, (0, 0, 0))
        self.of[modality] = (items + 1, tokens[0] + before, tokens[1] + after)

    @property
    def tokens(self) -> tuple[int, int]:
        """Of all images and videos, before and after."""
        return sum(count[1] for count in self.of.values()), sum(count[2] for count in self.of.values())


def count_in(options: Mapping[str, object]) -> Count | None:
    """The count that waits among a request's options; None if nobody asked, whatever a client wrote there."""
    count = options.get(COUNT)
    return count if isinstance(count, Count) else None


@functools.cache
def _counters() -> tuple[Any, ...]:
    """Made once in a process, which has to know by then whether it shares ``/metrics`` with others."""
    from prometheus_client import Counter

    texts = {
        "visual_inputs": "Images and videos of answered requests.",
        "visual_tokens_before": "Their visual tokens as the encoder gave them.",
        "visual_tokens_after": "Their visual tokens in the prompts.",
    }
    return tuple(Counter(f"apet:{name}", text, ["modality"]) for name, text in texts.items())


def publish(count: Count) -> None:
    """Adds a request to the counters on ``/metrics``; an empty one has them appear there."""
    for modality, numbers in {"image": (0, 0, 0), "video": (0, 0, 0), **count.of}.items():
        for counter, number in zip(_counters(), numbers, strict=True):
            counter.labels(modality).inc(number)
