"""How many tokens every segment of a call keeps, in both stages."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence

from torch import Tensor

from apet.core.allocate import Allocation, allocate
from apet.core.errors import ApETError
from apet.core.finite import how_to_read
from apet.core.measure import Measured
from apet.core.segment import Segment
from apet.hf.prompt.placing import mismatch, outside_a_prompt
from apet.hf.prompt_state import rows_of
from apet.methods import Context, Method, Stage2


def stage1_counts(
    method: Method,
    tokens: Sequence[Tensor],
    segments: Sequence[Segment],
    total: int,
    counts: Sequence[int] | None,
    contexts: Sequence[Context] = (),
) -> Allocation:
    """The tokens that stage 1 keeps of every segment; of one with fewer tokens than its count, all.

    With them comes what was found of the segments on the way.

    Args:
        method: The method.
        tokens: The tokens ``(N, d)`` of every segment.
        segments: What they are.
        total: Feature rows of the call.
        counts: How many of these belong to each prompt; needed for a shared budget.
        contexts: What the method is told about every segment; empty if it asks for nothing.
    """
    fixed = [count for segment in segments if (count := method.stage1(segment.tokens)) is not None]
    if len(fixed) == len(segments):
        _check_order(method, segments, fixed)
        return Allocation(fixed, [], how_to_read())
    budget = method.allowance
    even = [] if budget.keep is None else [budget.count(segment, fit=True) for segment in segments]
    if not budget.needs_errors:
        _check_order(method, segments, even)
        return Allocation(even, [], how_to_read())
    if not segments:
        return Allocation([], [], how_to_read())
    groups = _groups(segments, total, counts) if budget.sharing == "shared" else None
    kinds = [context.kind for context in contexts]

    def measure(numbers: list[int], stacked: Tensor, limit: int) -> Measured:
        return method.measure(
            stacked, limit, Context.stack([contexts[n] for n in numbers]) if contexts else None
        )

    return allocate(budget, tokens, segments, measure, even, groups, kinds)


def _groups(segments: Sequence[Segment], total: int, counts: Sequence[int] | None) -> list[list[int]]:
    """The numbers of the segments in each prompt: models fill placeholders with features in order."""
    if counts is None:
        raise outside_a_prompt("budget='shared'")
    rows = prompt_numbers(segments, total, counts)
    return [[number for number, prompt in enumerate(rows) if prompt == row] for row in sorted(set(rows))]


def prompt_numbers(segments: Sequence[Segment], total: int, counts: Sequence[int]) -> list[int]:
    """The number of the prompt that each segment stands in.

    Args:
        segments: The segments.
        total: Feature rows of the call.
        counts: How many of these belong to each prompt.
    """
    ends = list(itertools.accumulate(counts))
    rows = [bisect.bisect_right(ends, int(rows_of(segment)[0])) for segment in segments]
    last = [bisect.bisect_right(ends, int(rows_of(segment)[-1])) for segment in segments]
    if ends[-1] != total or rows != last:
        raise mismatch(segments[0].modality, list(counts), total, len(segments))
    return rows


def check_counts(method: Method, tokens: int, operation: str) -> None:
    """Refuse counts above the tokens that there are; a model of pictures of any size keeps them all instead.

    Args:
        method: The method.
        tokens: Most visual tokens of a picture.
        operation: What to name in the error.
    """
    for name, keep in [("keep", method.keep), *(("stage2.keep", stage.keep) for stage in method.later)]:
        if isinstance(keep, int) and keep > tokens:
            got = f"{name}={keep} for {tokens} visual tokens"
            raise ApETError(operation, got, f"an int between 1 and {tokens}, or a share")


def later_count(method: Method, stage2: Stage2, segment: Segment, left: int) -> int:
    """The tokens that stage 2 keeps of a segment of which stage 1 left so many: at most those."""
    later = method.behind(stage2, segment.tokens)
    return min(later, left) if method.allowance.needs_errors or isinstance(stage2.keep, int) else later


def _check_order(method: Method, segments: Sequence[Segment], keeps: Sequence[int]) -> None:
    """Refuse a share in stage 2 that is more than stage 1 leaves: an int and a share compare only here."""
    for stage in method.later:
        for segment, keep in zip(segments, keeps, strict=True):
            later = later_count(method, stage, segment, keep)
            if later > keep:
                of = f"({later} of {segment.tokens} tokens) behind {keep} in stage 1"
                raise ApETError("forward", f"stage2.keep={stage.keep!r} {of}", "at most what stage 1 keeps")
