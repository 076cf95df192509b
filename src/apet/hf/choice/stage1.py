"""Stage 1 on a matrix of feature rows: decide on every unit, merge, and say which rows are left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from apet.hf.choice.budgets import stage1_counts
from apet.hf.choice.decide import decide
from apet.hf.clock import Clock
from apet.hf.results import StageSelection
from apet.hf.state import Unit
from apet.methods import Attention, Method

__all__ = ["Compressed", "compress_units"]


@dataclass(frozen=True)
class Compressed:
    """What became of the rows.

    Attributes:
        stages: The selection of every unit, or None where everything is kept.
        kept: ``(R',)`` long, ascending: the rows that are left, those in no unit included; None if all are.
        short: ``(R', d)``, their values, merged or not.
        deep: The same rows of the features for later layers.
    """

    stages: tuple[StageSelection | None, ...]
    kept: Tensor | None
    short: Tensor
    deep: tuple[Tensor, ...] = ()


def compress_units(
    method: Method,
    rows: Tensor,
    units: Sequence[Unit],
    deep: tuple[Tensor, ...] = (),
    counts: Sequence[int] | None = None,
    attention: Attention | None = None,
) -> Compressed:
    """Compress every unit of a call.

    Args:
        method: The method.
        rows: ``(R, d)`` the feature rows.
        units: What has a budget of its own; they do not overlap.
        deep: Features of the same rows for later layers, which get the same decision.
        counts: How many of the rows belong to each row of the batch, in order; None if that is not known.
        attention: What attention says about the rows, for a method that decides by it.

    Returns:
        The decisions and the rows that are left.

    Raises:
        ApETError: If the method refuses the tokens or the budget.
    """
    places = [unit.rows.to(rows.device) for unit in units]
    segments = [rows[place] for place in places]
    with Clock(rows.device) as counting:
        keeps = stage1_counts(method, segments, units, len(rows), counts)
    stages: list[StageSelection | None] = [None] * len(units)
    groups = decide(method, segments, keeps, _by_unit(attention, places))
    if not groups:
        return Compressed(tuple(stages), None, rows, deep)
    stays = torch.ones(len(rows), dtype=torch.bool, device=rows.device)
    layers = [rows, *deep]
    for group in groups:
        where = torch.stack([places[number] for number in group.members])
        kept = where.gather(1, group.selection.indices)
        merged = [group.selection.apply(x[where], dim=1, merge=method.merge) for x in layers]
        if method.merge:
            layers = [x.index_put((kept,), values) for x, values in zip(layers, merged, strict=True)]
        stays[where] = False
        stays[kept] = True
        for slot, number in enumerate(group.members):
            candidates = torch.arange(units[number].tokens, device=rows.device)
            stage = group.stage(slot, candidates, merged[0][slot])
            stages[number] = replace(stage, counting=(counting, len(units)))
    left = stays.nonzero()[:, 0]
    short, *deep_short = (x[left] for x in layers)
    return Compressed(tuple(stages), left, short, tuple(deep_short))


def _by_unit(attention: Attention | None, places: Sequence[Tensor]) -> list[Attention] | None:
    """What attention says about every unit's rows; ``(B, N)`` of the encoder are the rows one by one."""
    if attention is None:
        return None
    received = attention.received.flatten()
    keys = None if attention.keys is None else attention.keys.flatten(0, 1)
    return [Attention(received[place], None if keys is None else keys[place]) for place in places]
