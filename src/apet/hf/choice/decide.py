"""Ask the method for a decision on every segment, in as few calls as their lengths allow."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from apet.core.finite import look_once, reading
from apet.core.measure import Measured
from apet.hf.clock import Clock
from apet.hf.results import StageSelection
from apet.methods import Context, Method


@dataclass(frozen=True)
class Decision:
    """What was decided about some segments, and what became of their tokens.

    All copies of a segment follow each other in ``kept`` and ``values``; segments that keep all they have are
    in neither.

    Attributes:
        selections: That of every segment, or None where it keeps everything.
        touched: ``(S,)`` long: the places of all tokens of the segments that lost some.
        kept: ``(K,)`` long: the places of those that stay.
        values: What became of these, merged or not: ``(K, d)`` for each of the tensors of tokens.
        kept_places: Per segment and copy, its part of ``kept``; None where everything is kept.
    """

    selections: tuple[StageSelection | None, ...]
    touched: Tensor
    kept: Tensor
    values: tuple[Tensor, ...]
    kept_places: tuple[tuple[Tensor, ...] | None, ...]


def decide(
    method: Method,
    tokens: Sequence[Tensor],
    places: Sequence[Sequence[Tensor]],
    keeps: Sequence[int],
    *,
    candidates: Sequence[Tensor | None] | None = None,
    contexts: Sequence[Context] = (),
    measured: Sequence[Measured] = (),
) -> Decision | None:
    """Decide which tokens of every segment stay, and merge the others into them.

    Args:
        method: The method.
        tokens: One or more ``(R, d)`` tensors of the same tokens. The first is decided on; all get the same
            decision.
        places: Per segment its places ``(C,)`` in these, ascending, and those of its copies, which follow the
            decision on the first of them. All segments have equally many copies.
        keeps: How many tokens each segment keeps.
        candidates: What the segments' tokens are called in the answer, ``(C,)`` ascending; None: 0 to C - 1.
        contexts: What the method is told about every segment; empty if it asks for nothing.
        measured: What was found of every segment already; empty for nothing.

    Returns:
        None where every segment keeps all that it has.

    Raises:
        ApETError: If the method refuses the tokens (NaN, infinite) or the budget.
    """
    groups: dict[tuple[int, int, Hashable], list[int]] = defaultdict(list)
    for number, (copies, keep) in enumerate(zip(places, keeps, strict=True)):
        if keep < len(copies[0]):
            kind = contexts[number].kind if contexts else None
            groups[len(copies[0]), keep, kind].append(number)
    if not groups:
        return None
    selections: list[StageSelection | None] = [None] * len(places)
    kept_places: list[tuple[Tensor, ...] | None] = [None] * len(places)
    touched, kept = [], []
    values: list[list[Tensor]] = [[] for _ in tokens]
    wheres = [
        [torch.stack(copy) for copy in zip(*(places[number] for number in members), strict=True)]
        for members in groups.values()
    ]
    groups_tokens = [tokens[0][where[0]] for where in wheres]
    how = look_once(groups_tokens, "forward", "image")
    for ((length, keep, _), members), where, group in zip(groups.items(), wheres, groups_tokens, strict=True):
        with torch.no_grad(), reading(how), Clock(group.device) as clock:
            context = Context.stack([contexts[number] for number in members]) if contexts else None
            measured_group = Measured.batch([measured[number] for number in members]) if measured else None
            selection = method.decided(group.detach(), keep, measured_group, context)
        stays = [copy.gather(1, selection.indices) for copy in where]
        touched += [copy.flatten() for copy in where]
        kept += [copy.flatten() for copy in stays]
        for copy_number, (copy, staying) in enumerate(zip(where, stays, strict=True)):
            for which, x in enumerate(tokens):
                if not method.merge:
                    merged = x[staying]
                else:
                    merged = selection.apply(x[copy] if copy_number or which else group, dim=1)
                values[which].append(merged)
        for number, places_kept in zip(members, zip(*stays, strict=True), strict=True):
            kept_places[number] = tuple(places_kept)
        names = _named(candidates, members, length, group.device)
        mixes = [None] * len(members) if selection.mix is None else selection.mix
        parts = zip(
            names.gather(1, selection.indices),
            names,
            selection.assignment,
            selection.errors,
            names.gather(1, selection.basis),
            values[0][-len(where)].detach(),  # of the first copies
            itertools.repeat(clock),
            mixes,
        )
        for number, part in zip(members, parts, strict=True):
            selections[number] = StageSelection(*part, share=len(members), measure=method.scored)  # type: ignore[misc]
    flat = tuple(torch.cat([part.flatten(0, 1) for part in each]) for each in values)
    return Decision(tuple(selections), torch.cat(touched), torch.cat(kept), flat, tuple(kept_places))


def _named(
    candidates: Sequence[Tensor | None] | None, members: Sequence[int], length: int, device: torch.device
) -> Tensor:
    """``(G, C)``, what the candidates of a group are called."""
    plain = torch.arange(length, device=device)
    if candidates is None:
        return plain.expand(len(members), -1)
    own = [candidates[number] for number in members]
    return torch.stack([plain if names is None else names.to(device) for names in own])
