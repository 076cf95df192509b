"""How many tokens every unit of a call keeps, in both stages."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence

from torch import Tensor

from apet.core.allocate import allocate
from apet.core.errors import ApETError
from apet.hf.placing import mismatch, outside_a_prompt
from apet.hf.state import Unit
from apet.methods import Method, Stage2

__all__ = ["check_counts", "later_count", "stage1_counts"]


def stage1_counts(
    method: Method,
    segments: Sequence[Tensor],
    units: Sequence[Unit],
    total: int,
    counts: Sequence[int] | None,
) -> list[int]:
    """The tokens that stage 1 keeps of every unit; of one with fewer tokens than its count, all.

    Args:
        method: The method.
        segments: The tokens ``(N, d)`` of every unit.
        units: The units.
        total: Feature rows of the call.
        counts: How many of these belong to each row of the batch; needed for a shared budget.

    Raises:
        ApETError: If a budget does not fit a unit, or stage 2 asks for more than stage 1 leaves.
    """
    fixed = [own for unit in units if (own := method.stage1(unit.tokens)) is not None]
    if len(fixed) == len(units):
        _check_order(method, units, fixed)
        return fixed
    budget = method.allowance
    about = [unit.segment for unit in units]
    even = [] if budget.keep is None else [budget.count(segment, fit=True) for segment in about]
    if not budget.needs_errors:
        _check_order(method, units, even)
        return even
    if not units:
        return []
    groups = _groups(units, total, counts) if budget.sharing == "shared" else None
    return allocate(
        budget, segments, about, lambda _, tokens, limit: method.measure(tokens, limit), even, groups
    ).counts


def _groups(units: Sequence[Unit], total: int, counts: Sequence[int] | None) -> list[list[int]]:
    """The numbers of the units in each row of the batch: models fill placeholders with features in order."""
    if counts is None:
        raise outside_a_prompt("budget='shared'")
    ends = list(itertools.accumulate(counts))
    rows = [bisect.bisect_right(ends, int(unit.rows[0])) for unit in units]
    last = [bisect.bisect_right(ends, int(unit.rows[-1])) for unit in units]
    if ends[-1] != total or rows != last:
        raise mismatch(units[0].modality, list(counts), total, len(units))
    return [[number for number, own in enumerate(rows) if own == row] for row in sorted(set(rows))]


def check_counts(method: Method, tokens: int, operation: str) -> None:
    """Refuse counts above the tokens that there are; a model of pictures of any size keeps them all instead.

    Args:
        method: The method.
        tokens: Most visual tokens of a picture.
        operation: What to name in the error.

    Raises:
        ApETError: If the method asks for more.
    """
    for name, keep in [("keep", method.keep), *(("stage2.keep", stage.keep) for stage in method.later)]:
        if isinstance(keep, int) and keep > tokens:
            got = f"{name}={keep} for {tokens} visual tokens"
            raise ApETError(operation, got, f"an int between 1 and {tokens}, or a share")


def later_count(method: Method, stage2: Stage2, unit: Unit, left: int) -> int:
    """The tokens that stage 2 keeps of a unit of which stage 1 left so many: a count above them keeps all."""
    later = method.behind(stage2, unit.tokens)
    return min(later, left) if method.allowance.needs_errors or isinstance(stage2.keep, int) else later


def _check_order(method: Method, units: Sequence[Unit], keeps: Sequence[int]) -> None:
    """Refuse a share in stage 2 that is more than stage 1 leaves: an int and a share compare only here.

    Raises:
        ApETError: If it does.
    """
    for stage in method.later:
        for unit, keep in zip(units, keeps, strict=True):
            later = later_count(method, stage, unit, keep)
            if later > keep:
                raise ApETError(
                    "forward",
                    f"stage2.keep={stage.keep!r} ({later} of {unit.tokens} tokens) behind {keep} in stage 1",
                    "at most what stage 1 keeps",
                )
