"""Put the tiles of one image together by the prompt that they stand in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from apet.core.errors import ApETError
from apet.hf.cache.record import Lease
from apet.hf.families import Family, Modality
from apet.hf.families.begins import Begins
from apet.hf.prompt.parts import Around
from apet.hf.prompt.placing import mismatch, outside_a_prompt
from apet.hf.state import call_in_progress, generation_in_progress
from apet.methods import Method


def around_of(base: Any, family: Family, modality: Modality, method: Method, lease: Lease) -> Around | None:
    """The prompts that a running call of a feature method belongs to; None if they are not known, nor needed.

    Raises:
        ApETError: If they are needed, or images or videos cannot be taken whole.
    """
    if method.unit == "whole" and modality.no_whole is not None:
        asked = f"unit='whole' with a {modality.name} for {family.title}: {modality.no_whole}"
        raise ApETError("forward", asked, "unit='part'")
    found, call, generation = None, call_in_progress.get(), generation_in_progress.get()
    needed = method.budget == "shared" or modality.begins is not None or "prompt" in method.needs
    if not needed:
        return None
    if call is not None and call.lease is lease and modality.name in call.placeholders:
        found = Around(call.placeholders[modality.name], call.ids, call.samples, call.real)
    elif generation is not None and generation.lease is lease and generation.ids is not None:
        ids = generation.ids.cpu()
        places = torch.eq(ids, getattr(base.config, modality.placeholder))
        found = Around(places, ids, real=None if generation.real is None else generation.real.cpu())
    if found is None and method.budget == "shared":
        raise outside_a_prompt("budget='shared'")
    if modality.begins is None or (found is not None and found.ids is not None):
        return found
    if method.unit == "whole" or callable(method.keep):  # any other method treats all tiles alike
        asked = "unit='whole'" if method.unit == "whole" else "a callable keep"
        asked = f"{asked} for {family.title}, whose prompts tell which tiles are one image,"
        raise outside_a_prompt(asked, "unit='part' and one number for all tiles")
    return found


def joined_tiles(
    images: Sequence[Sequence[Tensor]], around: Around, ids: Tensor, begins: Begins, modality: str
) -> list[list[Tensor]]:
    """Join tiles to images.

    Args:
        images: The rows of every tile, in the order of the features; each an image so far.
        around: The prompts.
        ids: ``(B, L)`` their ids, on the CPU.
        begins: The family's rule.
        modality: What is encoded, for the error message.

    Returns:
        Per image the rows of its tiles.

    Raises:
        ApETError: If placeholders and features do not match.
    """
    tiles = [part for parts in images for part in parts]
    where = around.placeholders.nonzero()
    ends = [(int(rows[0]), int(rows[-1])) for rows in tiles]
    total = sum(len(rows) for rows in tiles)
    if len(where) != total or any(where[first, 0] != where[last, 0] for first, last in ends):
        raise mismatch(modality, around.counts, total, len(tiles))
    found: list[list[Tensor]] = []
    for row in sorted(set(where[:, 0].tolist())):
        own = [number for number, (first, _) in enumerate(ends) if where[first, 0] == row]
        spans = [(int(where[ends[n][0], 1]), int(where[ends[n][1], 1])) for n in own]
        for number, new in zip(own, begins(ids[row], spans), strict=True):
            if new:
                found.append([])
            found[-1].append(tiles[number])
    return found
