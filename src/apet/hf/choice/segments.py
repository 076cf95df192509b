"""From features to segments: what of an image or video has a budget of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from apet.core.segment import Segment
from apet.hf.families import Modality
from apet.hf.families.family import Visual
from apet.hf.families.layouts import entries
from apet.hf.grid import Grid
from apet.methods import Method


def segments_of(method: Method, modality: str, images: Sequence[Sequence[Tensor]]) -> list[Segment]:
    """The segments of a call: each part of each image or video, or each as a whole.

    Args:
        method: Says which.
        modality: ``"image"`` or ``"video"``.
        images: Per image or video the feature rows of its parts.
    """
    if method.unit == "whole":
        return [_whole(modality, number, parts) for number, parts in enumerate(images)]
    return [
        Segment(modality, number, part, len(rows), rows=rows)
        for number, parts in enumerate(images)
        for part, rows in enumerate(parts)
    ]


def _whole(modality: str, number: int, parts: Sequence[Tensor]) -> Segment:
    """An image or video as one segment; of a video the frames are known where each has as many tokens."""
    rows = torch.cat(list(parts))
    ordered = rows.sort().values
    even = modality == "video" and len({len(part) for part in parts}) == 1 and torch.equal(rows, ordered)
    return Segment(modality, number, 0, len(rows), len(parts) if even else 1, ordered)


def grids_of(
    modality: Modality, visual: Visual, images: Sequence[Sequence[Tensor]]
) -> tuple[tuple[Grid, ...], ...]:
    """Where the feature rows lie on the pictures, by image; empty if the family does not tell."""
    if modality.grids is None:
        return ()
    return tuple(tuple(grids) for grids in modality.grids(visual, images))


def grids_of_entries(
    modality: Modality, base: Any, arguments: dict[str, Any], segments: Sequence[Segment]
) -> tuple[tuple[Grid, ...], ...]:
    """The same where every segment is an entry of the features, one behind the other.

    Args:
        modality: What is encoded.
        base: The base model.
        arguments: What the feature method was called with, by name.
        segments: The segments.
    """
    visual = Visual(base, arguments, tuple((segment.tokens,) for segment in segments))
    with torch.device("cpu"):
        return grids_of(modality, visual, entries(visual))
