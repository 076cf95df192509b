"""The oracle: the plain model on the full sequence, with dropped columns masked out in every layer.

Nothing is removed, gathered or moved: each decoder layer gets an explicit 4D mask, and positions are given by
hand. So it shares no code with the compression, and with merging off it must give the same logits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from apet.hf.results import ImageResult
from tests.hf.tiny import CACHE, IMAGE_TOKEN


def dropped_columns(ids: Tensor, images: Sequence[ImageResult]) -> tuple[Tensor, Tensor]:
    """Columns that the results say are dropped, from layer 0 on and from stage 2 on: two ``(B, L)`` bool."""
    first = torch.zeros_like(ids, dtype=torch.bool)
    second = torch.zeros_like(first)
    used = [0] * ids.shape[0]
    for image in images:
        columns = (ids[image.row] == IMAGE_TOKEN).nonzero()[:, 0]
        columns = columns[used[image.row] : used[image.row] + image.tokens]
        used[image.row] += image.tokens
        for stage, drop in ((image.stage1, first), (image.stage2, second)):
            if stage is not None:
                gone = torch.ones(image.tokens, dtype=torch.bool)
                gone[stage.indices] = False
                drop[image.row, columns[gone]] = True
    return first, second


@contextmanager
def masked(model: Any, real: Tensor, first: Tensor, second: Tensor, layer: int) -> Iterator[None]:
    """Run the plain model with columns masked: ``first`` in all layers, ``second`` from ``layer`` on."""
    decoder = model.model.language_model
    hooks = []

    def mask(number: int, queries: int, keys: int, dtype: torch.dtype) -> Tensor:
        visible = torch.ones(real.shape[0], keys, dtype=torch.bool)
        visible[:, : real.shape[1]] = real & ~first
        if number >= layer:
            visible[:, : real.shape[1]] &= ~second
        query, key = torch.arange(keys - queries, keys)[:, None], torch.arange(keys)[None]
        allowed = (key <= query) & visible[:, None, None, :]
        allowed = allowed | (key == query)  # rows that see nothing would give NaN
        return torch.zeros(allowed.shape, dtype=dtype).masked_fill(~allowed, torch.finfo(dtype).min)

    for number, block in enumerate(decoder.layers):

        def before(module: Any, args: Any, kwargs: Any, number: int = number) -> Any:
            hidden, cache = args[0], kwargs[CACHE]
            past = (
                cache.layers[number].get_seq_length()
                if cache is not None and len(cache.layers) > number
                else 0
            )
            queries = hidden.shape[1]
            return args, {**kwargs, "attention_mask": mask(number, queries, past + queries, hidden.dtype)}

        hooks.append(block.register_forward_pre_hook(before, with_kwargs=True))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
