"""The KV cache of a compressed prompt.

A compressed cache holds fewer columns than the prompt had tokens. Everyone outside the model (``generate``,
the caller's own loop) counts in prompt tokens, the masks inside count in columns. So the cache object that
the caller owns gets a subclass of its own class, in place, once a compressed prefill has succeeded:
``get_seq_length`` answers in prompt tokens, the mask methods in columns, and everything that moves rows
(beams, copies, selections) moves the few tables of the record with them. ``reset`` gives the object its first
class back.

A compressed cache can only be continued under the compression that filled it. After ``remove`` any forward
pass on it raises, because the plain model would place masks and positions wrongly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache

from apet.core.errors import ApETError

__all__ = ["CacheRecord", "Lease", "adopt", "is_empty", "is_static", "record_of"]


class Lease:
    """The right to use the caches of one installed compression; ended by ``remove``."""

    def __init__(self) -> None:
        self.active = True

    def __deepcopy__(self, memo: dict[int, Any]) -> Lease:
        return self  # a copied cache hangs on the same compression


@dataclass
class CacheRecord:
    """What a compressed cache must remember about its prompt.

    Attributes:
        lease: The compression that filled the cache.
        prompt: Prompt length in tokens, ``L``.
        first: ``(B, n1)`` index map from the columns of the layers before stage 2 to prompt tokens.
        second: ``(B, n2)`` index map from the columns of the layers from stage 2 on to those of ``first``;
            None if stage 2 dropped nothing.
        layer: First layer behind stage 2; without meaning if ``second`` is None.
        tail: How many of the prompt's last tokens may be cropped: behind the last dropped one, in every row.
        shift: ``(B, 1)``, how far contiguous numbering moved the following positions; None for own positions.
        full_first: Whether ``first`` has no empty slot.
        full_second: Whether ``second`` has none.
        memo: A mask of the step in progress and its translation, so that the layers share one copy.
    """

    lease: Lease
    prompt: int
    first: Tensor
    second: Tensor | None
    layer: int
    tail: int
    shift: Tensor | None
    full_first: bool
    full_second: bool
    memo: tuple[Any, Any] | None = None

    def dropped(self, layer_idx: int) -> int:
        """Prompt tokens that a layer does not hold."""
        if self.second is not None and layer_idx >= self.layer:
            return self.prompt - self.second.shape[1]
        return self.prompt - self.first.shape[1]

    def lead(self, layer_idx: int) -> int:
        """Columns that the layers before stage 2 hold beyond those of a layer."""
        return self.dropped(layer_idx) - self.dropped(-1)

    def move_rows(self, move: Callable[[Tensor], Tensor]) -> None:
        """Apply a change of the batch dimension to every table."""
        self.first = move(self.first)
        self.second = None if self.second is None else move(self.second)
        self.shift = None if self.shift is None else move(self.shift)

    def shorten(self, tokens: int) -> None:
        """Forget the prompt's last tokens."""
        self.prompt -= tokens
        self.tail -= tokens
        self.first = self.first[:, : self.first.shape[1] - tokens]
        self.second = None if self.second is None else self.second[:, : self.second.shape[1] - tokens]


class _CompressedCache(Cache):
    """Mixin over a cache class; see the module's text."""

    _apet_record: CacheRecord

    def _columns(self, layer_idx: int = 0) -> Any:
        """Columns that a layer holds (an int, or a tensor with a static cache)."""
        return super().get_seq_length(layer_idx)

    def _check_lease(self) -> None:
        if not self._apet_record.lease.active:
            raise ApETError(
                "forward",
                "a KV cache that was filled under a compression which has been removed",
                "a new cache, or the compression still applied",
            )

    def get_seq_length(self, layer_idx: int = 0) -> Any:
        """Length in tokens of the uncompressed sequence."""
        columns = super().get_seq_length(layer_idx)
        return columns + self._apet_record.dropped(layer_idx)

    def get_query_offset(self, layer_idx: int = 0) -> Any:
        """Columns before this step's queries, for masks.

        All masks speak of the layers before stage 2, also those of a kind whose first layer lies behind it.
        """
        self._check_lease()
        return super().get_seq_length(layer_idx) + self._apet_record.lead(layer_idx)

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        """Columns that a mask of the layers before stage 2 must cover, and their offset."""
        self._check_lease()
        keys, offset = super().get_mask_sizes(query_length, layer_idx)
        return keys if is_static(self) else keys + self._apet_record.lead(layer_idx), offset

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> Any:
        """Store this step's keys and values."""
        self._check_lease()
        return super().update(key_states, value_states, layer_idx, *args, **kwargs)

    def crop(self, tokens: int) -> None:
        """Remove the last ``-tokens`` tokens; a positive number is the length to keep, as in transformers."""
        record = self._apet_record
        length = int(self.get_seq_length())
        remove = -tokens if tokens <= 0 else max(length - tokens, 0)
        from_prompt = max(remove - (length - record.prompt), 0)
        if from_prompt > record.tail:
            raise ApETError(
                "crop",
                f"{remove} tokens to remove from a compressed cache of length {length}",
                f"at most {length - record.prompt + record.tail}, those behind the last compressed image",
            )
        super().crop(-remove)
        record.shorten(from_prompt)

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Reorder the rows for beam search."""
        super().reorder_cache(beam_idx)  # type: ignore[arg-type]
        self._apet_record.move_rows(lambda table: table.index_select(0, beam_idx.to(table.device)))

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat every row."""
        super().batch_repeat_interleave(repeats)
        self._apet_record.move_rows(lambda table: table.repeat_interleave(repeats, dim=0))

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep some rows."""
        super().batch_select_indices(indices)
        self._apet_record.move_rows(lambda table: table[indices])

    def reset(self) -> None:
        """Empty the cache; it is a plain one again."""
        super().reset()  # type: ignore[no-untyped-call]
        del self._apet_record
        self.__class__ = type(self).__mro__[2]


_CLASSES: dict[type, type] = {}


def adopt(cache: Any, record: CacheRecord) -> None:
    """Make a freshly filled cache a compressed one, in place.

    Args:
        cache: A transformers cache that a compressed prefill has filled.
        record: What it must remember.
    """
    plain = type(cache)
    if not issubclass(plain, _CompressedCache):
        compressed = _CLASSES.get(plain)
        if compressed is None:
            compressed = _CLASSES.setdefault(
                plain,
                type(f"Compressed{plain.__name__}", (_CompressedCache, plain), {"__module__": __name__}),
            )
        cache.__class__ = compressed
    cache._apet_record = record


def record_of(cache: Any) -> CacheRecord | None:
    """The record of a compressed cache; None for any other object."""
    return cache._apet_record if isinstance(cache, _CompressedCache) else None


def is_static(cache: Any) -> bool:
    """Whether a cache has a fixed key length (and decode may be compiled)."""
    return cache is not None and bool(cache.is_compileable)


def is_empty(cache: Any) -> bool:
    """Whether a cache holds nothing yet."""
    with torch.no_grad():
        return cache is None or int(cache.get_seq_length()) == 0
