"""Gather what a method asks to be told, from what a call of a model brings and where it stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from apet.core.errors import ApETError
from apet.core.segment import Segment
from apet.hf.choice.budgets import prompt_numbers
from apet.hf.choice.context import Told, no_grid, places_of
from apet.hf.families import Family
from apet.hf.grid import Grid
from apet.hf.prompt.placing import outside_a_prompt
from apet.hf.prompt_state import Around
from apet.methods import Attention, Method


def check_told(base: nn.Module, family: Family, method: Method, operation: str) -> None:
    """Check that a family tells what a method asks for."""
    if "places" in method.needs and all(kind.grids is None for kind in family.modalities):
        got = f"{type(method).__name__} for {family.title}, which does not tell where its tokens lie"
        raise no_grid(operation, got)
    if "decoder" in method.needs and not isinstance(getattr(family.text_of(base), "norm", None), nn.Module):
        got = f"{type(method).__name__} for {family.title}, whose last norm is not known"
        raise ApETError(operation, got, "a text model with a norm behind its layers")


def told_at_stage1(
    method: Method,
    base: Any,
    family: Family,
    segments: Sequence[Segment],
    grids: Sequence[Sequence[Grid]],
    around: Around | None,
    rows: Tensor,
    attention: Attention | None,
) -> Told:
    """What a method is told about the segments of one call of a feature method.

    Args:
        method: The method.
        base: The base model, for its text embeddings.
        family: Its family.
        segments: The segments.
        grids: The grids of every image.
        around: The prompts that they stand in.
        rows: ``(R, D)`` the features.
        attention: What attention says about these.

    Raises:
        ApETError: If the family does not tell where the tokens lie, or the prompt is not known.
    """
    if not method.needs:
        return Told()
    places, prompts = [], []
    if "places" in method.needs:
        if not grids and segments:
            kind = segments[0].modality
            got = f"{type(method).__name__} with a {kind} for {family.title}, which does not tell where"
            raise no_grid("forward", f"{got} its tokens lie")
        places = [places_of(segment, grids[segment.image]) for segment in segments]
    if "prompt" in method.needs:
        if around is None or around.ids is None:
            wanted = f"{type(method).__name__}, which is told the prompt,"
            raise outside_a_prompt(wanted, "a method that does not look at the prompt, such as Spread")
        embedded = [
            base.get_input_embeddings()(text.to(base.get_input_embeddings().weight.device)).detach()
            for text in _texts(base, family, around, around.ids)
        ]
        numbers = prompt_numbers(segments, len(rows), around.counts)
        prompts = [embedded[number][None].to(rows.device, rows.dtype) for number in numbers]
    return Told(places, prompts, attention)


def _texts(base: Any, family: Family, around: Around, ids: Tensor) -> list[Tensor]:
    """The text of every row, or of every sample of every row: neither visual tokens nor padding."""
    visual = torch.tensor(
        [getattr(base.config, kind.placeholder) for kind in family.modalities], device="cpu"
    )
    text = ~torch.isin(ids, visual)
    if around.real is not None:
        text &= around.real
    if around.samples is None:
        return [row[is_text] for row, is_text in zip(ids, text, strict=True)]
    return [
        row[is_text & (sample == number)]
        for row, is_text, sample in zip(ids, text, around.samples, strict=True)
        for number in range(int(sample.max()) + 1)
    ]
