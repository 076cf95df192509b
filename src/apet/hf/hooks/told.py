"""Gather what a method asks to be told, from what a call of a model brings and where it stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from apet.core.segment import Segment
from apet.hf.cache.index_map import take
from apet.hf.choice.budgets import prompt_numbers
from apet.hf.choice.told import Told, no_grid, places_of
from apet.hf.families import Family
from apet.hf.grid import Grid
from apet.hf.hooks.attention import from_last_token
from apet.hf.prompt.packed import sample_of_slots
from apet.hf.prompt.parts import Around, Prompt
from apet.hf.prompt.placing import outside_a_prompt
from apet.hf.state import Call
from apet.methods import Attention, Context, Method

__all__ = ["check_told", "names_of", "told_at_stage1", "told_inside"]


def check_told(base: nn.Module, family: Family, method: Method, operation: str) -> None:
    """Check that a family tells what a method asks for.

    Raises:
        ApETError: If it tells of nothing where its tokens lie.
    """
    if "places" in method.needs and all(kind.grids is None for kind in family.modalities):
        got = f"{type(method).__name__} for {family.title}, which does not tell where its tokens lie"
        raise no_grid(operation, got)


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
            raise outside_a_prompt(f"{type(method).__name__}, which is told the prompt,")
        embedded = [
            base.get_input_embeddings()(own.to(base.get_input_embeddings().weight.device)).detach()
            for own in _texts(base, family, around, around.ids)
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
        return [row[own] for row, own in zip(ids, text, strict=True)]
    return [
        row[own & (sample == number)]
        for row, own, sample in zip(ids, text, around.samples, strict=True)
        for number in range(int(sample.max()) + 1)
    ]


def told_inside(
    method: Method, hidden: Tensor, call: Call, prompt: Prompt, slots: dict[int, Tensor]
) -> list[Context]:
    """What a method is told about the segments where a stage inside the text model begins.

    Args:
        method: The method.
        hidden: ``(B, n, D)`` hidden states.
        call: The running call.
        prompt: Its prompt.
        slots: By number of the segment, where its tokens are, counted over all rows.

    Raises:
        ApETError: If something is not known.
    """
    if not method.needs:
        return []
    device, numbers = hidden.device, list(slots)
    places, prompts, attention = [], [], None
    if "places" in method.needs:
        for number in numbers:
            segment = call.segments[number]
            grids = call.encoded[segment.modality].grids_of(segment)
            left = names_of(call, prompt, number)
            among = torch.arange(segment.tokens, device=device) if left is None else left.to(device)
            places.append(places_of(segment, grids, among))
    if "prompt" in method.needs:
        rows = {one.number: one for one in reversed(call.placed)}
        text, samples = _text_slots(call, prompt)
        for number in numbers:
            row = rows[number].row
            own = text[row]
            if samples is not None:
                assert call.samples is not None
                sample = int(call.samples[row, rows[number].columns[0]])
                own = own & (samples[row].to(own.device) == sample)
            prompts.append(hidden[row][own.to(device)].detach()[None])
    if "attention" in method.needs:
        attention = from_last_token(prompt, device)
    return Told(places, prompts, attention).contexts(method, list(slots.values()))


def _text_slots(call: Call, prompt: Prompt) -> tuple[Tensor, Tensor | None]:
    """``(B, n)`` which slots are text; and of packed samples the number of each slot's."""
    columns = take(prompt.index, prompt.later[-1].index, 1) if prompt.later else prompt.index
    visual = torch.stack(list(call.placeholders.values())).any(dim=0)
    text = prompt.valid & ~take(visual.to(columns.device), columns, 1).to(prompt.valid.device)
    if prompt.samples is None:
        return text, None
    return text, sample_of_slots(prompt.weights, prompt.samples, columns.shape[1])


def names_of(call: Call, prompt: Prompt, number: int) -> Tensor | None:
    """The numbers of a segment's tokens that are left, among its N; None where all are."""
    earlier = prompt.stages.get(number)
    last = earlier[-1] if earlier else call.stages[number]
    return None if last is None else last.indices
