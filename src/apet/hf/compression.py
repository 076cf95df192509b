"""Stage 1 on a matrix of feature rows: decide on every unit, merge, and say which rows are left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from apet.core.budget import resolve_keep
from apet.core.errors import ApETError
from apet.hf.decide import decide
from apet.hf.results import StageSelection
from apet.hf.state import Unit
from apet.methods import Method

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
    method: Method, rows: Tensor, units: Sequence[Unit], deep: tuple[Tensor, ...] = ()
) -> Compressed:
    """Compress every unit of a call.

    Args:
        method: The method.
        rows: ``(R, d)`` the feature rows.
        units: What has a budget of its own; they do not overlap.
        deep: Features of the same rows for later layers, which get the same decision.

    Returns:
        The decisions and the rows that are left.

    Raises:
        ApETError: If the method refuses the tokens or the budget.
    """
    keeps = [resolve_keep(method.keep, unit.tokens) for unit in units]
    _check_order(method, units, keeps)
    places = [unit.rows.to(rows.device) for unit in units]
    stages: list[StageSelection | None] = [None] * len(units)
    groups = decide(method, [rows[place] for place in places], keeps)
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
            stages[number] = group.stage(slot, candidates, merged[0][slot])
    left = stays.nonzero()[:, 0]
    short, *deep_short = (x[left] for x in layers)
    return Compressed(tuple(stages), left, short, tuple(deep_short))


def _check_order(method: Method, units: Sequence[Unit], keeps: Sequence[int]) -> None:
    """Refuse a stage 2 that asks for more than stage 1 leaves: an int and a share compare only here."""
    stage2 = method.stage2
    if stage2 is None:
        return
    for unit, keep in zip(units, keeps, strict=True):
        later = resolve_keep(stage2.keep, unit.tokens)
        if later > keep:
            raise ApETError(
                "forward",
                f"stage2.keep={stage2.keep!r} ({later} of {unit.tokens} tokens) behind {keep} in stage 1",
                "at most what stage 1 keeps",
            )
