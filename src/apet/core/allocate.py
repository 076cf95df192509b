"""From approximation errors to numbers of kept tokens: an error bound, or a total that segments share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from apet.core.budget import Budget
from apet.core.frames import squared_errors
from apet.core.grouping import group_segments
from apet.core.measure import Measured
from apet.core.precision import wide_dtype
from apet.core.segment import Segment

__all__ = ["Measure", "allocate"]

Measure = Callable[[list[int], Tensor, int], Measured]
"""Finds the errors of segments of one length: their numbers, tokens ``(B, N, d)``, most tokens to keep."""


@torch.no_grad()
def allocate(
    budget: Budget,
    segments: Sequence[Tensor],
    about: Sequence[Segment],
    measure: Measure,
    even: Sequence[int] = (),
    groups: Sequence[Sequence[int]] | None = None,
) -> list[int]:
    """Works out how many tokens each segment keeps, where that depends on their errors.

    Errors are found once, with the whole basis. Tokens are then dropped in the order of what that costs
    (`apet.core.frames.squared_errors`), the least first, as long as the bound or the total asks for it; the
    basis tokens and ``min_keep`` of every segment stay, and what is beyond ``max_keep`` goes first. So a
    larger tolerance never keeps more.

    Args:
        budget: One that needs errors.
        segments: Visual tokens ``(n_i, d)`` of one width, dtype and device.
        about: What they are.
        measure: Finds errors.
        even: Tokens that ``keep`` gives each of them; empty under a tolerance.
        groups: Numbers of the segments that share a bound or a total; None for all. Not looked at under a
            budget for each.

    Returns:
        Tokens to keep of each segment.

    Raises:
        ApETError: If the tokens are not valid.
    """
    shared = budget.sharing == "shared"
    bounds = [budget.bounds(segment.tokens) for segment in about]
    floors, caps = [low for low, _ in bounds], [high for _, high in bounds]
    # Where there is a count, no more basis tokens than it gives: the others would go beyond the total.
    limits = [min(pair) for pair in zip(caps, even, strict=True)] if even else caps
    if groups is None:
        groups = [range(len(segments))]

    device = segments[0].device
    width = max(segment.tokens for segment in about)
    errors = torch.zeros(len(segments), width, dtype=wide_dtype(device), device=device)
    norms, always = torch.zeros_like(errors), torch.zeros_like(errors, dtype=torch.bool)
    for numbers in group_segments(segments, limits):
        tokens = torch.stack([segments[number] for number in numbers])
        found = measure(numbers, tokens, limits[numbers[0]])
        rows = torch.tensor(numbers, device=device)
        errors[rows, : tokens.shape[1]] = found.errors.to(errors.dtype)
        norms[rows, : tokens.shape[1]] = found.norms.to(errors.dtype)
        always[rows.unsqueeze(1), found.basis] = True
        for number in numbers:
            floors[number] = max(floors[number], found.basis.shape[1])

    unit = norms.amax(dim=1)
    if shared:
        for group in groups:
            unit[list(group)] = unit[list(group)].amax()
    unit = torch.where(unit > 0, unit, torch.ones_like(unit))
    energy = (norms / unit.unsqueeze(1)).square().cumsum(dim=1)[:, -1]
    cost = squared_errors(errors / unit.unsqueeze(1), segments, about, unit, pooled=shared)
    order = torch.arange(width, device=device)
    lengths, low, high = (
        torch.tensor(numbers, device=device).unsqueeze(1)
        for numbers in ([segment.tokens for segment in about], floors, caps)
    )
    # Falling in each row, so a column is a rank within the segment: basis first, what is no token last.
    cost = cost.masked_fill(always, torch.inf).masked_fill(order >= lengths, -1.0)
    cost = cost.sort(dim=1, descending=True, stable=True).values
    key = cost.masked_fill(order >= high, -1.0).masked_fill(order < low, torch.inf)
    cost = cost.clamp(min=0.0).masked_fill(order < low, torch.inf)
    if not shared:
        counts = _keep_within(key, cost, (budget.tolerance or 0.0) * energy).sum(dim=1)
        return list(map(int, counts.tolist()))
    counts = torch.zeros(len(segments), dtype=torch.int64, device=device)
    for group in groups:
        members = list(group)
        flat, costs = key[members].view(1, -1), cost[members].view(1, -1)
        if budget.tolerance is None:
            total = max(sum(even[number] for number in members), sum(floors[number] for number in members))
            stays = _keep_most(flat, min(total, sum(caps[number] for number in members)))
        else:
            stays = _keep_within(flat, costs, budget.tolerance * energy[members].cumsum(0)[-1:])
        counts[members] = stays.view(len(members), -1).sum(dim=1)
    return list(map(int, counts.tolist()))


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
