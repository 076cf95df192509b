"""The vision encoder's work, done once per picture while several methods are asked about it."""

from __future__ import annotations

import functools
import hashlib
import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map, tree_map_only

from apet.methods import Attended, Method


def looks_inside(method: Method | None) -> bool:
    """Whether a method reads the encoder's own attention, so that the encoder has to run under it."""
    return isinstance(method, Attended) and method.reads == "vision"


@contextmanager
def encoding_once(module: nn.Module, known: dict[tuple[Any, ...], Any]) -> Iterator[None]:
    """Within the block an encoder that is given pixels that are known gives out what it gave out before.

    Pictures are told apart by their content, row by row, so another size of a picture is another picture. The
    encoder's attention implementation belongs to what is remembered.

    Args:
        module: The vision encoder; its call takes pixels ``(B, C, H, W)`` and flags, and gives tensors, or
            tuples of tensors, with a row for each picture.
        known: What is remembered from one block to the next; it grows.
    """
    before = module.__dict__.get("forward")
    original: Callable[..., Any] = module.forward

    @functools.wraps(original)  # others look at what it can be given
    def forward(pixel_values: Tensor, **kwargs: Any) -> Any:
        implementation = getattr(getattr(module, "config", None), "_attn_implementation", None)
        call = (implementation, tuple(sorted((name, repr(value)) for name, value in kwargs.items())))
        keys = [(_digest(row), *call) for row in pixel_values]
        new = {key: row for row, key in enumerate(keys) if key not in known}
        if new:
            output = original(pixel_values[list(new.values())], **kwargs)
            for at, key in enumerate(new):
                known[key] = tree_map_only(Tensor, operator.itemgetter(at), output)
        return tree_map(_stacked, *(known[key] for key in keys))

    module.forward = forward
    try:
        yield
    finally:
        del module.forward
        if before is not None:
            module.forward = before


def _stacked(*rows: Any) -> Any:
    return torch.stack(rows) if isinstance(rows[0], Tensor) else rows[0]


def _digest(row: Tensor) -> bytes:
    raw = row.detach().contiguous().cpu().view(torch.uint8).numpy()
    return hashlib.blake2b(raw.tobytes() + repr(tuple(row.shape)).encode(), digest_size=16).digest()
