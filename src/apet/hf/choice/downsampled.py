"""Smaller pictures for the vision encoder, and where its fewer tokens stand in the prompt."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from apet.core.errors import ApETError
from apet.core.merge import adjacent_kept
from apet.core.segment import Segment
from apet.hf.choice.stage1 import Compressed
from apet.hf.clock import Clock
from apet.hf.families import Family
from apet.hf.families.shrink import Sizes
from apet.hf.results import StageSelection
from apet.methods import Downsample, Method


def check_shrinks(base: nn.Module, family: Family, method: Method, operation: str) -> None:
    """Check that a family's encoder takes smaller pictures, where the method wants it to."""
    if not isinstance(method, Downsample):
        return
    able = [kind.shrink for kind in family.modalities if kind.shrink is not None]
    if not any(shrink.fits(base) for shrink in able):
        raise ApETError(
            operation,
            f"Downsample for {family.title}, whose encoder is not known to take pictures of another size",
            "LLaVA-1.5 with a CLIP or SigLIP encoder, Qwen2-VL, Qwen2.5-VL or Qwen3-VL",
        )


def place_small(
    rows: Tensor, deep: tuple[Tensor, ...], modality: str, grids: Sequence[Sizes], clock: Clock
) -> tuple[list[Segment], Compressed]:
    """Give the tokens of small pictures their places among those that the prompt has for large ones.

    They take the upper left of the large grid: its positions, which rotary embeddings may count in rows and
    columns, are there those of a small picture.

    Args:
        rows: ``(R', d)`` features of the small pictures.
        deep: Features of the same rows for later layers.
        modality: What they are.
        grids: Per picture, the grids of tokens that the prompt has, and that were encoded.
        clock: The time that making them smaller took.

    Returns:
        The segments, and the rows with their places.
    """
    segments, stages, kept = [], [], []
    first = start = 0
    for number, (large, small) in enumerate(grids):
        total, count = large[0] * large[1], small[0] * small[1]
        places = torch.arange(total, device="cpu")
        indices = places.view(large)[: small[0], : small[1]].flatten()
        segments.append(Segment(modality, number, 0, total, rows=first + places))
        kept.append(first + indices)
        stage = None
        if count < total:
            indices = indices.to(rows.device)
            stage = StageSelection(
                indices=indices,
                candidates=torch.arange(total, device=rows.device),
                assignment=adjacent_kept(indices[None], total)[0],
                errors=torch.zeros(total, device=rows.device),
                basis=indices[:0],
                tokens=rows[start : start + count].detach(),
                clock=clock,
                share=len(grids),
            )
        stages.append(stage)
        first, start = first + total, start + count
    return segments, Compressed(tuple(stages), torch.cat(kept), rows, deep)
