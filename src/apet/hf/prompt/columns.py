"""Which columns of a prompt stay: what the host knows, and one copy of it to the device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from apet.hf.cache.index_map import invert
from apet.hf.prompt.placing import place
from apet.hf.prompt_state import Placed
from apet.hf.state import Call
from apet.methods import Method, NoImage


def place_all(call: Call) -> None:
    """Number the segments of all modalities, and find their placeholders."""
    for name, encoded in call.encoded.items():
        placed, call.copies = place(call.placeholders[name], encoded, len(call.segments))
        call.segments += encoded.segments
        call.selections += encoded.selections
        call.placed += placed
    if len(call.encoded) > 1:
        call.placed.sort(key=lambda placed: (placed.row, int(placed.columns[0])))


def columns_left_of(call: Call, method: Method) -> Tensor:
    """``(B, L)`` long on the CPU, how many columns are left of each; see `Prompt`."""
    columns_left = call.real.long()
    if isinstance(method, NoImage):  # without images no placeholder stays, those of newlines included
        for mask in call.placeholders.values():
            columns_left = columns_left.masked_fill(mask, 0)
    for placed in call.placed:
        stage = call.selections[placed.number]
        # Also of columns that the caller's mask hides.
        columns_left[placed.row, placed.columns] = int(stage is None)
        if stage is not None:
            columns_left[placed.row, placed.columns[0]] = len(stage.indices)
    return columns_left


def tail_of(untouched: Tensor, placed: Sequence[Placed]) -> int:
    """How many of the last columns of every row are real and belong to no segment that may lose some."""
    untouched = untouched.clone()
    for one in placed:
        untouched[one.row, one.columns] = False
    return int(untouched.flip(1).long().cumprod(1).sum(1).min())


def columns_of(placed: Sequence[Placed], length: int, device: torch.device) -> list[Tensor]:
    """The columns of every placed segment, counted over all rows, on a device by one copy."""
    flat = torch.cat([segment.row * length + segment.columns for segment in placed]).to(device)
    return list(flat.split([len(segment.columns) for segment in placed]))


def kept_columns(
    call: Call, dropping: Sequence[Placed], untouched: Tensor, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Find the columns that stay. What the host knows of them goes to the device in one copy.

    Args:
        call: The running call, with its segments placed.
        dropping: Those that lose tokens.
        untouched: ``(B, L)`` bool on the CPU, the real columns of no such segment.
        device: Where the embeddings are.

    Returns:
        ``(B, L)`` bool, which columns stay; the kept ones of ``dropping``, and the columns of all other
        segments, both counted over all rows one after another.
    """
    length = untouched.shape[1]
    indices = [stage.indices for placed in dropping if (stage := call.selections[placed.number]) is not None]
    where = torch.cat([placed.row * length + placed.columns for placed in dropping])
    begins = torch.tensor([0, *(len(placed.columns) for placed in dropping[:-1])], device="cpu").cumsum(0)
    offsets = begins.repeat_interleave(
        torch.tensor([len(kept_indices) for kept_indices in indices], device="cpu")
    )
    others = [placed for placed in call.placed if call.selections[placed.number] is None]
    whole = torch.cat([where[:0], *(placed.row * length + placed.columns for placed in others)])
    parts = (untouched.flatten().long(), where, offsets, whole)
    base, where, offsets, whole = torch.cat(parts).to(device).split([len(part) for part in parts])
    kept = where[torch.cat([own.to(device) for own in indices]) + offsets]
    keep = base.bool().index_fill(0, kept, True)
    return keep.view(untouched.shape), kept, whole


def slots_of(index: Tensor, length: int, kept: Tensor, whole: Tensor, call: Call) -> list[Tensor]:
    """The slots of every placed segment's tokens, counted over all rows of the shorter sequence."""
    begins = torch.arange(len(index), device=index.device)[:, None] * index.shape[1]
    slots = (invert(index, length) + begins).flatten()[torch.cat([kept, whole])]
    selections = [call.selections[placed.number] for placed in call.placed]
    order = sorted(range(len(selections)), key=lambda place: selections[place] is None)
    sizes = [
        len(call.placed[place].columns) if (stage := selections[place]) is None else len(stage.indices)
        for place in order
    ]
    slots_by_place = dict(zip(order, slots.split(sizes), strict=True))
    return [slots_by_place[place] for place in range(len(selections))]
