"""Chunked prefill: a prompt with images is taken as a row of turns on one cache.

transformers would cut an image wherever a chunk ends. Here a chunk goes on to the end of the image, tile or
frame that it ends in, so that stage 2 sees it whole, and all else is what a further turn with images needs.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from apet.hf.arguments import cache_in
from apet.hf.cache.record import Lease
from apet.hf.choice.features import Features
from apet.hf.families import Family, Modality
from apet.hf.hooks.travelling import attach, encoded_of, not_ours
from apet.hf.prompt.placing import place
from apet.hf.prompt_state import Placed, rows_of
from apet.hf.state import Encoded, generation_in_progress

_PER_TOKEN = (
    "position_ids",
    "attention_mask",
    "token_type_ids",
    "mm_token_type_ids",
    "moe_mm_token_type_ids",
)


@dataclass(frozen=True)
class _Images:
    """What was encoded of one modality, and where it goes.

    Attributes:
        features: All features, those of repeated rows included.
        encoded: Stage 1's decisions, before any repetition.
        placeholders: ``(B, L)`` bool on the CPU.
        placed: The segments at their places.
        copies: How many rows stand for one row of the caller.
    """

    features: Features
    encoded: Encoded
    placeholders: Tensor
    placed: list[Placed]
    copies: int

    def spans(self) -> list[tuple[int, int]]:
        """First and last column of every segment, the last one excluded."""
        return [(int(placed.columns[0]), int(placed.columns[-1]) + 1) for placed in self.placed]

    def part(self, start: int, stop: int) -> Any:
        """The features of some columns, with the decisions on them; None if there are none."""
        rows = _rows(self.placeholders, start, stop)
        if not len(rows):
            return None
        chunk_rows = _rows(self.placeholders[:: self.copies], start, stop)
        numbers = {
            placed.number
            for placed in self.placed
            if placed.row % self.copies == 0 and start <= int(placed.columns[0]) < stop
        }
        segments = [
            replace(segment, rows=torch.searchsorted(chunk_rows, rows_of(segment)))
            for number in sorted(numbers)
            for segment in (self.encoded.segments[number],)
        ]
        selections = tuple(self.encoded.selections[number] for number in sorted(numbers))
        output = self.features.part(rows)
        attach(
            output,
            replace(self.encoded, total=len(chunk_rows), segments=tuple(segments), selections=selections),
        )
        return output


def _rows(placeholders: Tensor, start: int, stop: int) -> Tensor:
    """The feature rows of some columns: rows fill placeholders in order over the batch."""
    inside = torch.zeros_like(placeholders)
    inside[:, start:stop] = placeholders[:, start:stop]
    return inside[placeholders].nonzero()[:, 0]


def chunks(length: int, size: int, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Cut a prompt into chunks of at least ``size`` tokens that cut through none of the spans."""
    cut, start = [], 0
    while start < length:
        stop = min(start + size, length)
        while inside := [last for first, last in spans if first < stop < last]:
            stop = max(inside)
        cut.append((start, stop))
        start = stop
    return cut


def wrap_prefill(
    original: Callable[..., Any], config: Any, family: Family, lease: Lease
) -> Callable[..., Any]:
    """Make the replacement of ``_prefill``, the part of ``generate`` that reads the prompt.

    Args:
        original: The model's ``_prefill``.
        config: The model's config.
        family: Its family.
        lease: The compression.
    """

    def prefill(
        input_ids: Tensor,
        generation_config: Any,
        model_kwargs: dict[str, Any],
        is_first_iteration: bool = True,
    ) -> Any:
        size, cache = generation_config.prefill_chunk_size, cache_in(model_kwargs)
        encoder_outputs = model_kwargs.get("mm_encoder_outputs") or {}
        if size is None or cache is None or not any(x is not None for x in encoder_outputs.values()):
            return original(input_ids, generation_config, model_kwargs, is_first_iteration)
        seen, mask = int(cache.get_seq_length()), model_kwargs.get("attention_mask")
        total = getattr(generation_config, "_mask_length", None) if mask is None else mask.shape[1]
        ids = input_ids[:, seen:] if input_ids.shape[1] == (total or input_ids.shape[1]) else input_ids
        images = {
            modality.name: _images(
                encoder_outputs[modality.name], modality, (ids == getattr(config, modality.placeholder)).cpu()
            )
            for modality in family.modalities
            if encoder_outputs.get(modality.name) is not None
        }
        spans = [span for image in images.values() for span in image.spans()]
        whole, generation = copy.copy(generation_config), generation_in_progress.get()
        whole.prefill_chunk_size = None
        output = None
        for number, (start, stop) in enumerate(chunks(ids.shape[1], size, spans)):
            parts = {
                name: part for name, image in images.items() if (part := image.part(start, stop)) is not None
            }
            step_kwargs = {**model_kwargs, "mm_encoder_outputs": parts}
            for name in _PER_TOKEN:
                if (value := step_kwargs.get(name)) is not None:
                    step_kwargs[name] = value[..., : value.shape[-1] - (ids.shape[1] - stop)]
            whole._mask_length = seen + stop
            if generation is not None and generation.lease is lease:
                generation.chunk = number
                generation.encoded = {
                    name: encoded for name, x in parts.items() if (encoded := encoded_of(x))
                }
            output = original(ids[:, start:stop], whole, step_kwargs, is_first_iteration)
        return output

    return prefill


def _images(output: Any, modality: Modality, placeholders: Tensor) -> _Images:
    encoded, generation = encoded_of(output), generation_in_progress.get()
    if encoded is None and generation is not None:
        encoded = generation.encoded.get(modality.name)
    if encoded is None:
        raise not_ours(modality)
    placed, copies = place(placeholders, encoded, 0)
    return _Images(Features.of(output), encoded, placeholders, placed, copies)
