"""The oracle for any family: the plain model on the full sequence, dropped columns masked in every layer.

Each layer gets the mask that the model made for it, with more columns hidden. Positions, images and
everything else stay the model's own, so it shares no code with the compression.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from apet.hf.families import FAMILIES
from apet.hf.results import ImageResult
from tests.hf.tiny import CACHE


def placeholders_of(config: Any, ids: Tensor, modality: str) -> Tensor:
    """Which tokens stand for visual tokens of a modality."""
    kinds = {kind.name: kind.placeholder for kind in FAMILIES[config.model_type].modalities}
    return ids == getattr(config, kinds[modality])


def dropped(
    config: Any,
    ids: Tensor,
    results: Sequence[ImageResult],
    rows_of: dict[tuple[str, int, int], Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Columns that the results say are dropped, from layer 0 on and from stage 2 on: two ``(B, L)`` bool.

    Args:
        config: The model's config.
        ids: ``(B, L)`` input ids.
        results: What was kept of every unit.
        rows_of: Feature rows of every unit, by modality, image and part, as the layout under test says.
            Without, the units of a row follow each other.
    """
    first = torch.zeros_like(ids, dtype=torch.bool)
    second = torch.zeros_like(first)
    used = [0] * len(ids)
    for result in results:
        places = placeholders_of(config, ids, result.modality).nonzero()
        if rows_of is None:
            start, used[result.row] = used[result.row], used[result.row] + result.tokens
            places = places[places[:, 0] == result.row][start : used[result.row]]
        else:
            places = places[rows_of[result.modality, result.image, result.part]]
        assert (places[:, 0] == result.row).all()
        for stage, drop in ((result.stage1, first), (result.stage2, second)):
            if stage is not None:
                gone = torch.ones(result.tokens, dtype=torch.bool)
                gone[stage.indices] = False
                drop[tuple(places[gone].T)] = True
    return first, second


@contextmanager
def masked(text: Any, real: Tensor, first: Tensor, second: Tensor, layer: int) -> Iterator[None]:
    """Run the plain model with columns masked: ``first`` in all layers, ``second`` from ``layer`` on.

    Columns beyond those that are given are seen. The sequence may come in several calls on one cache.
    """
    hooks = []

    def columns(number: int, keys: int) -> Tensor:
        known = real & ~first & ~second if number >= layer else real & ~first
        beyond = torch.nn.functional.pad(known, (0, max(keys - real.shape[1], 0)), value=True)
        return beyond[:, None, None, :keys]

    for number, block in enumerate(text.layers):

        def before(module: Any, args: Any, kwargs: Any, number: int = number) -> Any:
            hidden = args[0] if args else kwargs["hidden_states"]
            queries, cache, given = hidden.shape[-2], kwargs.get(CACHE), kwargs["attention_mask"]
            past = 0
            if cache is not None and len(cache.layers) > number:
                past = int(cache.layers[number].get_seq_length())
            keys = past + queries
            query, key = torch.arange(past, keys)[:, None], torch.arange(keys)[None]
            allowed = key <= query
            if isinstance(given, Tensor):
                assert given.dim() == 4
                allowed = given if given.dtype == torch.bool else given == 0
            allowed = (allowed & columns(number, keys)) | (key == query)  # a softmax over nothing is NaN
            mask = torch.zeros(allowed.shape).masked_fill(~allowed, torch.finfo(torch.float32).min)
            return args, {**kwargs, "attention_mask": mask}

        hooks.append(block.register_forward_pre_hook(before, with_kwargs=True))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
