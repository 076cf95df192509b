"""From approximation errors to numbers of kept tokens: an error bound, or a total that segments share."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from apet.core.budget import Budget
from apet.core.finite import LARGE, SMALL, Reading, how_to_read, reading
from apet.core.frames import distances, squared_errors
from apet.core.grouping import group_segments
from apet.core.measure import Measured
from apet.core.precision import unaffected
from apet.core.segment import Segment

Measure = Callable[[list[int], Tensor, int], Measured]
"""Finds the errors of segments of one length: their numbers, tokens ``(B, N, d)``, most tokens to keep."""


@dataclass(frozen=True, eq=False)
class Allocation:
    """How many tokens each segment keeps, and what that was worked out from.

    Attributes:
        counts: Tokens to keep of each segment.
        measured: What was found of each segment, as batches of one: the decision needs not find it again.
        reading: What is known about the segments now; for `apet.core.finite.reading`, around the decisions.
    """

    counts: list[int]
    measured: list[Measured]
    reading: Reading


@unaffected
@torch.no_grad()
def allocate(
    budget: Budget,
    segments: Sequence[Tensor],
    about: Sequence[Segment],
    measure: Measure,
    even: Sequence[int] = (),
    groups: Sequence[Sequence[int]] | None = None,
    kinds: Sequence[Hashable] = (),
) -> Allocation:
    """Works out how many tokens each segment keeps, where that depends on their errors.

    Errors are found once, with the whole basis. Tokens are then dropped in the order of what that costs
    (`apet.core.frames.squared_errors`), the least first, as long as the bound or the total asks for it; the
    basis tokens and ``min_keep`` of every segment stay, and what is beyond ``max_keep`` goes first. So a
    larger tolerance never keeps more.

    All errors are read from the device at once and ranked on the host: one wait whatever the number of
    segments, and sums that run in one order everywhere.

    Args:
        budget: One that needs errors.
        segments: Visual tokens ``(n_i, d)`` of one width, dtype and device.
        about: What they are.
        measure: Finds errors.
        even: Tokens that ``keep`` gives each of them; empty under a tolerance.
        groups: Numbers of the segments that share a bound or a total; None for all. Not looked at under a
            budget for each.
        kinds: What has to be equal of segments that are measured together; empty for nothing.

    Returns:
        The numbers, and what they were worked out from.
    """
    shared = budget.sharing == "shared"
    floors, caps = map(list, zip(*(budget.bounds(segment.tokens) for segment in about), strict=True))
    # Where there is a count, no more basis tokens than it gives: the others would go beyond the total.
    limits = [min(pair) for pair in zip(caps, even, strict=True)] if even else caps
    if groups is None:
        groups = [range(len(segments))]

    measured, how, errors, norms, always, apart = _read_once(segments, about, limits, measure, kinds)
    floors = [max(floor, part.basis.shape[1]) for floor, part in zip(floors, measured, strict=True)]
    unit = norms.amax(dim=1)
    if shared:
        for group in groups:
            unit[list(group)] = unit[list(group)].amax()
    unit = torch.where(unit > 0, unit, torch.ones_like(unit))
    # One by one, so that zeros behind a shorter segment change no bit.
    energy = (norms / unit.unsqueeze(1)).square().cumsum(dim=1)[:, -1]
    cost = squared_errors(errors / unit.unsqueeze(1), apart, about, unit, pooled=shared)
    order = torch.arange(errors.shape[1], device="cpu")
    bounds = torch.tensor([[segment.tokens for segment in about], floors, caps], device="cpu")
    lengths, low, high = bounds.unsqueeze(2)
    # Falling in each row, so a column is a rank within the segment: basis first, what is no token last.
    # `cost` is what dropping adds to the error; `key` ranks all segments' tokens: infinite stays, -1 goes.
    cost = cost.masked_fill(always, torch.inf).masked_fill(order >= lengths, -1.0)
    cost = cost.sort(dim=1, descending=True, stable=True).values
    key = cost.masked_fill(order >= high, -1.0).masked_fill(order < low, torch.inf)
    cost = cost.clamp(min=0.0).masked_fill(order < low, torch.inf)
    if not shared:
        counts = _keep_within(key, cost, (budget.tolerance or 0.0) * energy).sum(dim=1)
        return Allocation(counts.tolist(), measured, how)
    counts = torch.zeros(len(segments), dtype=torch.int64, device="cpu")
    for group in groups:
        members = list(group)
        flat, costs = key[members].view(1, -1), cost[members].view(1, -1)
        if budget.tolerance is None:
            total = max(sum(even[number] for number in members), sum(floors[number] for number in members))
            stays = _keep_most(flat, min(total, sum(caps[number] for number in members)))
        else:
            stays = _keep_within(flat, costs, budget.tolerance * energy[members].cumsum(0)[-1:])
        counts[members] = stays.view(len(members), -1).sum(dim=1)
    return Allocation(counts.tolist(), measured, how)


def _read_once(
    segments: Sequence[Tensor],
    about: Sequence[Segment],
    limits: Sequence[int],
    measure: Measure,
    kinds: Sequence[Hashable],
) -> tuple[list[Measured], Reading, Tensor, Tensor, Tensor, Tensor | None]:
    """Measures all segments, and reads what ranks their tokens.

    Elsewhere than on a CPU they are taken for ordinary first, since a look at each would wait for the device;
    whether they were shows in what is read.

    Returns:
        What was found, what is known then, and on the host ``(S, W)``: errors, norms, whether a token is in
        the basis, and `distances`.
    """
    outer = how_to_read()
    for how in (outer,) if outer != "look" or segments[0].device.type == "cpu" else ("ordinary", "look"):
        with reading(how):
            measured, planes, apart = _measure(segments, about, limits, measure, kinds)
        errors, norms, basis = planes
        peak = norms.amax(dim=1)
        if how != "ordinary" or bool(((peak > SMALL) & (peak < LARGE)).all()):
            break
    after: Reading = "finite" if how == "look" and segments[0].device.type != "cpu" else how
    return measured, after, errors, norms, basis > 0, apart


def _measure(
    segments: Sequence[Tensor],
    about: Sequence[Segment],
    limits: Sequence[int],
    measure: Measure,
    kinds: Sequence[Hashable],
) -> tuple[list[Measured], Tensor, Tensor | None]:
    """What was found of each segment; on the host errors, norms and basis ``(3, S, W)``, and `distances`."""
    width = max(segment.tokens for segment in about)
    measured: dict[int, Measured] = {}
    planes = []
    for numbers in group_segments(segments, limits, kinds):
        batch = measure(numbers, torch.stack([segments[number] for number in numbers]), limits[numbers[0]])
        measured.update(zip(numbers, batch.unbatch(), strict=True))
        errors, norms = batch.in_given_unit()
        chosen = torch.zeros_like(errors).scatter_(1, batch.basis, 1.0)
        plane = torch.stack((errors, norms, chosen))
        planes.append(torch.nn.functional.pad(plane, (0, width - errors.shape[1])))
    read = torch.cat(planes, dim=1)
    apart = distances(segments, about, read[0])
    if apart is not None:
        read = torch.cat((read, apart.unsqueeze(0)))
    read = read.to("cpu").to(torch.float64)
    # From the order of the groups to that of the segments.
    back = torch.tensor(list(measured), device="cpu").argsort()
    ordered = [measured[number] for number in range(len(segments))]
    return ordered, read[:3, back], None if apart is None else read[3]


def _keep_within(key: Tensor, cost: Tensor, bound: Tensor) -> Tensor:
    """Which tokens stay ``(G, n)`` so that what is dropped costs at most the bound ``(G,)``."""
    ranked, places = _cheapest_first(key)
    lost = cost.gather(1, places).cumsum(dim=1)
    stays = (ranked >= 0) & ~(lost <= bound.unsqueeze(1))
    return torch.zeros_like(stays).scatter_(1, places, stays)


def _keep_most(key: Tensor, count: int) -> Tensor:
    """Which tokens stay ``(G, n)`` if so many do."""
    _, places = _cheapest_first(key)
    return torch.zeros_like(key, dtype=torch.bool).scatter_(1, places[:, key.shape[1] - count :], True)


def _cheapest_first(key: Tensor) -> tuple[Tensor, Tensor]:
    """Keys and places ``(G, n)`` in the order of dropping; of equals the last goes first."""
    ranked, places = key.flip(1).sort(dim=1, stable=True)
    return ranked, key.shape[1] - 1 - places
