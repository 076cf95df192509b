"""Stage 1 on a matrix of feature rows: decide on every segment, merge, and say which rows are left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from apet.core.finite import reading
from apet.core.segment import Segment
from apet.hf.choice.budgets import stage1_counts
from apet.hf.choice.context import Told
from apet.hf.choice.decide import decide
from apet.hf.clock import Clock
from apet.hf.prompt_state import rows_of
from apet.hf.results import StageSelection
from apet.methods import Method


@dataclass(frozen=True)
class Compressed:
    """What became of the rows.

    Attributes:
        selections: That of every segment, or None where everything is kept.
        kept: ``(R',)`` long, ascending: the rows that are left, those in no segment included; None if all
            are.
        short: ``(R', d)``, their values, merged or not.
        deep: The same rows of the features for later layers.
    """

    selections: tuple[StageSelection | None, ...]
    kept: Tensor | None
    short: Tensor
    deep: tuple[Tensor, ...] = ()


def compress_segments(
    method: Method,
    rows: Tensor,
    segments: Sequence[Segment],
    deep: tuple[Tensor, ...] = (),
    counts: Sequence[int] | None = None,
    told: Told = Told(),  # noqa: B008 (frozen)
) -> Compressed:
    """Compress every segment of a call.

    Args:
        method: The method.
        rows: ``(R, d)`` the feature rows.
        segments: What has a budget of its own; they do not overlap.
        deep: Features of the same rows for later layers, which get the same decision.
        counts: How many of the rows belong to each prompt, in order; None if that is not known.
        told: What the method is told about the segments.

    Returns:
        The decisions and the rows that are left.
    """
    rows_by_segment = [rows_of(segment) for segment in segments]
    outside = torch.ones(len(rows), dtype=torch.bool, device="cpu")
    for segment_rows in rows_by_segment:
        outside[segment_rows] = False
    # All that the device has to be told of places goes there at once.
    places = _moved([*rows_by_segment, outside.nonzero()[:, 0]], rows.device)
    outside_places = places.pop()
    with Clock(rows.device) as counting:
        tokens = [_tokens(rows, *pair) for pair in zip(rows_by_segment, places, strict=True)]
        contexts = told.contexts(method, places)
        keeps = stage1_counts(method, tokens, segments, len(rows), counts, contexts)
    with reading(keeps.reading):
        decision = decide(
            method,
            [rows, *deep],
            [(place,) for place in places],
            keeps.counts,
            contexts=contexts,
            measured=keeps.measured,
        )
    if decision is None:
        return Compressed((None,) * len(segments), None, rows, deep)
    selections = tuple(
        None if stage is None else replace(stage, counting=(counting, len(segments)))
        for stage in decision.selections
    )
    whole = [place for place, stage in zip(places, selections, strict=True) if stage is None]
    untouched = torch.cat([*whole, outside_places])
    kept, order = torch.cat([decision.kept, untouched]).sort()
    short, *deep_short = (
        torch.cat([values, x[untouched]])[order]
        for x, values in zip((rows, *deep), decision.values, strict=True)
    )
    return Compressed(selections, kept, short, tuple(deep_short))


def _tokens(rows: Tensor, numbers: Tensor, place: Tensor) -> Tensor:
    """The tokens ``(N, d)`` of a segment; not copied where they stand in a row."""
    first, last = int(numbers[0]), int(numbers[-1])
    return rows[first : last + 1] if last - first + 1 == len(numbers) else rows[place]


def _moved(parts: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """Places on a device, in one copy; none where they are all rows in order."""
    flat = torch.cat(list(parts))
    everything = torch.arange(len(flat), device="cpu")
    on_device = torch.arange(len(flat), device=device) if torch.equal(flat, everything) else flat.to(device)
    return list(on_device.split([len(part) for part in parts]))
