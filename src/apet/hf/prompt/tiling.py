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
from apet.hf.prompt.placing import mismatch, outside_a_prompt
from apet.hf.prompt_state import Around
from apet.hf.state import call_in_progress, generation_in_progress
from apet.methods import Method


def around_of(base: Any, family: Family, modality: Modality, method: Method, lease: Lease) -> Around | None:
    """The prompts that a running call of a feature method belongs to; None if not known, nor needed."""
    if method.unit == "whole" and modality.no_whole is not None:
        wanted = f"unit='whole' with a {modality.name} for {family.title}: {modality.no_whole}"
        raise ApETError("forward", wanted, "unit='part'")
    around, call, generation = None, call_in_progress.get(), generation_in_progress.get()
    needed = method.budget == "shared" or modality.begins is not None or "prompt" in method.needs
    if not needed:
        return None
    if call is not None and call.lease is lease and modality.name in call.placeholders:
        around = Around(call.placeholders[modality.name], call.ids, call.samples, call.real)
    elif generation is not None and generation.lease is lease and generation.ids is not None:
        ids = generation.ids.cpu()
        places = torch.eq(ids, getattr(base.config, modality.placeholder))
        around = Around(places, ids, real=None if generation.real is None else generation.real.cpu())
    if around is None and method.budget == "shared":
        raise outside_a_prompt("budget='shared'")
    if modality.begins is None or (around is not None and around.ids is not None):
        return around
    if method.unit == "whole" or callable(method.keep):  # any other method treats all tiles alike
        wanted = "unit='whole'" if method.unit == "whole" else "a callable keep"
        wanted = f"{wanted} for {family.title}, whose prompts tell which tiles are one image,"
        raise outside_a_prompt(wanted, "unit='part' and one number for all tiles")
    return around


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
    """
    tiles = [part for parts in images for part in parts]
    where = around.placeholders.nonzero()
    ends = [(int(rows[0]), int(rows[-1])) for rows in tiles]
    total = sum(len(rows) for rows in tiles)
    if len(where) != total or any(where[first, 0] != where[last, 0] for first, last in ends):
        raise mismatch(modality, around.counts, total, len(tiles))
    images_of_tiles: list[list[Tensor]] = []
    for row in sorted(set(where[:, 0].tolist())):
        tiles_of_row = [number for number, (first, _) in enumerate(ends) if where[first, 0] == row]
        spans = [(int(where[ends[n][0], 1]), int(where[ends[n][1], 1])) for n in tiles_of_row]
        for number, new in zip(tiles_of_row, begins(ids[row], spans), strict=True):
            if new:
                images_of_tiles.append([])
            images_of_tiles[-1].append(tiles[number])
    return images_of_tiles
