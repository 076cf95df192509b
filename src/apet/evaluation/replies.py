"""What came back for a case: the answers, and how many visual tokens each decoder layer saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from apet.core.budget import resolve_keep
from apet.evaluation.tasks import Case
from apet.hf.results import ImageResult
from apet.methods import Method, Stage2

__all__ = ["Reply", "Schedule", "mean_tokens", "schedule_of"]

Schedule = tuple[tuple[int, int], ...]
"""Visual tokens by layer: ``((0, 96), (4, 32))`` is 96 in layers 0 to 3, and 32 from layer 4 on."""


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


def schedule_of(images: Sequence[ImageResult], method: Method) -> Schedule:
    """The visual tokens that each layer saw of these images."""
    schedule = [(0, sum(image.tokens_stage1 for image in images))]
    later: Sequence[Stage2] = getattr(method, "later", (method.stage2,) if method.stage2 else ())
    for stage in later:
        kept = [resolve_keep(stage.keep, image.tokens) for image in images]
        if stage is later[-1]:
            kept = [image.tokens_stage2 for image in images]
        schedule.append((stage.layer, sum(kept)))
    return tuple(schedule)


def mean_tokens(schedule: Schedule, layers: int) -> float:
    """Visual tokens per layer, averaged over the decoder layers."""
    ends = [first for first, _ in schedule[1:]] + [layers]
    return sum(tokens * (end - first) for (first, tokens), end in zip(schedule, ends, strict=True)) / layers
