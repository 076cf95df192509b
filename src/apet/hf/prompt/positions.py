"""Rotary positions of a shortened prompt."""

from __future__ import annotations

import torch
from torch import Tensor

from apet.core.errors import ApETError
from apet.hf.cache.index_map import take
from apet.hf.prompt.packed import counted, sample_of_slots
from apet.hf.prompt_state import Prompt
from apet.methods import Method


def set_positions(prompt: Prompt, positions: Tensor | None, method: Method, real: Tensor) -> None:
    """Set the rotary positions of the slots, and how far the tokens behind the prompt move.

    They move by the distance between the last positions before and after, where the last one before may be
    that of a dropped token. Contiguous ones begin where the prompt, or a sample packed into it, began and
    count up on every axis alike, as those of text do.

    Args:
        prompt: Gets ``positions`` and ``shift``.
        positions: ``(B or 1, L)`` or ``(axes, B, L)``, the positions before; None where they are counted.
        method: Says which positions are wanted.
        real: ``(B, L)`` bool on the CPU, the columns that were no padding.

    Raises:
        ApETError: If several samples are packed into a row and the method closes up the gaps between them.
    """
    device = prompt.index.device
    if positions is None:
        positions = torch.arange(prompt.seen, prompt.seen + prompt.length, device=device)[None]
    positions = positions.to(device)
    kept_positions = take(positions, prompt.index, positions.dim() - 1)
    if method.positions == "own" and not method.replaces:
        prompt.positions = kept_positions.masked_fill(~prompt.valid, 0)
        return
    if prompt.samples is not None:
        if method.replaces:
            raise ApETError(
                "forward", f"{type(method).__name__} with samples packed into one row", "a sample in each row"
            )
        prompt.positions = _counted_by_sample(prompt, positions, prompt.samples)
        return
    real = real.to(device)
    if method.positions == "contiguous":
        # Qwen3-Omni's are floats.
        first = positions.masked_fill(~real, positions.amax()).amin(-1, keepdim=True)
        count = prompt.valid.long().cumsum(1) - 1
        prompt.positions = (first + count).masked_fill(~prompt.valid, 0)
    else:
        prompt.positions = _closed_up(kept_positions, prompt.valid)
    shift = positions.masked_fill(~real, 0).amax(-1) - prompt.positions.amax(-1)
    prompt.shift = (shift if shift.dim() == 1 else shift.amax(0))[:, None]
    if prompt.before.shift is not None:  # the given positions were moved by it
        prompt.shift = prompt.shift + prompt.before.shift


def _counted_by_sample(prompt: Prompt, positions: Tensor, samples: Tensor) -> Tensor:
    """Each sample's positions, counted up from its own first one."""
    width = prompt.index.shape[1]
    numbers = torch.arange(samples.shape[1], device="cpu").expand_as(samples)
    count = int(samples.max()) + 1
    firsts = numbers.new_full((len(samples), count), samples.shape[1]).scatter_reduce(
        1, samples, numbers, "amin"
    )
    first = firsts.gather(1, sample_of_slots(prompt.columns_left, samples, width).clamp(min=0))
    begins = take(positions, first.to(positions.device), positions.dim() - 1)
    within = counted(prompt.columns_left, samples, width).to(positions.device)
    return (begins + within).masked_fill(~prompt.valid, 0)


def _closed_up(positions: Tensor, valid: Tensor) -> Tensor:
    """Positions without the gaps that no token is left in, on any axis.

    So a token of the upper left of an image's grid has its position in a smaller image, and the text behind
    it begins where it would behind that one.
    """
    rows = positions.movedim(-2, 0).flatten(1) if positions.dim() == 3 else positions
    real = valid[:, None].expand(-1, rows.shape[1] // valid.shape[1], -1).flatten(1)
    size = int(rows.amax()) + 2
    used = torch.zeros(len(rows), size, dtype=torch.long, device=rows.device)
    used.scatter_(1, rows.masked_fill(~real, size - 1), 1)
    first = rows.masked_fill(~real, size).amin(1, keepdim=True)
    rank = first + used.cumsum(1).gather(1, rows.clamp(min=0)) - 1
    rank = rank.masked_fill(~real, 0)
    return rank.unflatten(1, (positions.shape[0], -1)).movedim(0, -2) if positions.dim() == 3 else rank
