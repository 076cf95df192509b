"""What came back for a case: the answers, and how many visual tokens each decoder layer saw."""

from __future__ import annotations

from dataclasses import dataclass

from apet.evaluation.tasks import Case
from apet.hf.results import ImageResult, Schedule


@dataclass(frozen=True)
class Reply:
    """The answers to one case.

    Attributes:
        case: What was asked.
        answers: One per turn.
        schedule: Visual tokens per layer, over everything that the case shows.
        images: What the session told about each picture, tile or frame; empty without a method.
    """

    case: Case
    answers: tuple[str, ...]
    schedule: Schedule
    images: tuple[ImageResult, ...]


def mean_tokens(schedule: Schedule, layers: int) -> float:
    """Visual tokens per layer, averaged over the decoder layers."""
    ends = [first for first, _ in schedule[1:]] + [layers]
    return sum(tokens * (end - first) for (first, tokens), end in zip(schedule, ends, strict=True)) / layers
