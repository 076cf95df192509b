"""The features that a feature method returned, as one matrix, whatever form the family gives them."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from apet.core.errors import ApETError

_FIELDS = ("pooler_output", "image_features", "video_features", "last_hidden_state")
_DEEP = "deepstack_features"


@dataclass(frozen=True)
class Features:
    """All visual tokens of one call.

    Attributes:
        output: What the method returned.
        rows: ``(R, D)``, the rows of all entries, which may share the output's memory; those for the first
            layer, where every set has its layer.
        entries: Leading shape of every entry.
        deep: Features for later layers, each ``(R, D)``.
    """

    output: Any
    rows: Tensor
    entries: tuple[tuple[int, ...], ...]
    deep: tuple[Tensor, ...]

    @classmethod
    def of(cls, output: Any) -> Features:
        """Read an output."""
        layered = getattr(output, _DEEP, None) or ()
        if _by_layer(layered):
            layered = [features for _, features in sorted(layered, key=lambda pair: pair[0])]
            found, layered = layered[0], layered[1:]
        else:
            found = _read(output)
        parts = _parts(found)
        if not parts:
            raise ApETError(
                "forward",
                f"features of type {type(output).__name__}",
                "a tensor or tensors, or an output with pooler_output",
            )
        return cls(
            output,
            _flat(found, parts),
            tuple(tuple(part.shape[:-1]) for part in parts),
            tuple(_flat(layer, _parts(layer)) for layer in layered),
        )

    def rebuild(self, rows: Tensor, deep: tuple[Tensor, ...], sizes: Sequence[int] | None = None) -> Any:
        """The output with other rows in the same form; an output object is changed in place.

        Args:
            rows: ``(R, D)``.
            deep: As many rows for each of the later layers.
            sizes: Rows of every entry, where they are not as many as before.
        """
        return _put(self.output, rows, deep, functools.partial(_like, sizes=sizes))

    def part(self, rows: Tensor) -> Any:
        """A new output with some of the rows, as one entry."""
        deep = tuple(x[rows] for x in self.deep)
        return _put(copy.copy(self.output), self.rows[rows], deep, _one)


def _put(output: Any, rows: Tensor, deep: tuple[Tensor, ...], shape: Callable[[Any, Tensor], Any]) -> Any:
    """Put features into an output, in place if it is an object; ``shape`` gives them the old ones' form."""
    layered = getattr(output, _DEEP, None) or ()
    if _by_layer(layered):
        order = sorted(range(len(layered)), key=lambda place: layered[place][0])
        new_of = dict(zip(order, (rows, *deep), strict=True))
        setattr(output, _DEEP, [(layer, shape(old, new_of[at])) for at, (layer, old) in enumerate(layered)])
        return output
    new = shape(_read(output), rows)
    if isinstance(output, Tensor | list | tuple):
        return new
    for name in _FIELDS:
        if getattr(output, name, None) is not None:
            setattr(output, name, new)
            break
    if deep:
        setattr(output, _DEEP, [shape(layer, x) for layer, x in zip(layered, deep, strict=True)])
    return output


def _by_layer(deep: Any) -> bool:
    """Whether features name their decoder layers, ``[(layer, features), ..]``: then there are no others."""
    return bool(deep) and all(
        isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], int) for pair in deep
    )


def _read(output: Any) -> Any:
    if isinstance(output, Tensor | list | tuple):
        return output
    return next((x for name in _FIELDS if (x := getattr(output, name, None)) is not None), None)


def _parts(features: Any) -> list[Tensor]:
    """Entries of the features: those of a list, or along the first dimension of a tensor ``(B, N, D)``."""
    if isinstance(features, Tensor):
        return [features] if features.dim() < 3 else list(features)
    if isinstance(features, list | tuple) and all(isinstance(part, Tensor) for part in features):
        return list(features)
    return []


def _one(features: Any, rows: Tensor) -> Any:
    """Rows as a single entry, in the form that the entries had."""
    if isinstance(features, Tensor):
        return rows if features.dim() < 3 else rows[None]
    return type(features)([rows])


def _flat(features: Any, parts: list[Tensor]) -> Tensor:
    """All rows as one matrix; a single tensor is not copied."""
    if len(parts) > 1 and not isinstance(features, Tensor):
        return torch.cat([part.reshape(-1, part.shape[-1]) for part in parts])
    whole = features if isinstance(features, Tensor) else parts[0]
    return whole.reshape(-1, whole.shape[-1])


def _like(features: Any, rows: Tensor, sizes: Sequence[int] | None) -> Any:
    if isinstance(features, Tensor):
        lead = features.shape[:-1] if sizes is None else (*features.shape[:-2], -1)
        return rows.view(*lead, rows.shape[-1])
    if sizes is not None:
        return type(features)(rows.split(list(sizes)))
    split = rows.split([part.shape[:-1].numel() for part in features])
    return type(features)(x.view(part.shape) for x, part in zip(split, features, strict=True))


def scattered(short: Tensor, kept: Tensor, total: int) -> Tensor:
    """Kept rows at their places among zeros."""
    return short.new_zeros(total, short.shape[-1]).index_copy(0, kept.to(short.device), short)


def versions(output: Any) -> tuple[tuple[Tensor, int], ...]:
    """The tensors of the features in an output, with their versions, which change with them."""
    features = _read(output)
    tensors = [features] if isinstance(features, Tensor) else _parts(features)
    return tuple((x, -1 if x.is_inference() else x._version) for x in tensors)
