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

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache

from apet.core.errors import ApETError
from apet.hf.cache.record import CacheRecord


class _CompressedCache(Cache):
    """Mixin over a cache class; see the module's text."""

    _apet_record: CacheRecord

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
                f"{tokens}, that is {remove} of {length} tokens to remove from a compressed cache",
                f"at most {(most := length - record.prompt + record.tail)}, those behind the last compressed "
                f"image: a length of at least {length - most}",
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

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        # The class has no name in a module, so it is made again around the plain one's.
        return _blank, (type(self).__mro__[2],), self.__dict__

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
    if not isinstance(cache, _CompressedCache):
        cache.__class__ = _compressed(type(cache))
    cache._apet_record = record


def _compressed(plain: type) -> type:
    """The compressed class over a cache class."""
    compressed = _CLASSES.get(plain)
    if compressed is None:
        made = type(f"Compressed{plain.__name__}", (_CompressedCache, plain), {"__module__": __name__})
        compressed = _CLASSES.setdefault(plain, made)
    return compressed


def _blank(plain: type) -> Any:
    """An empty object for a saved cache, whose attributes are set next."""
    return object.__new__(_compressed(plain))


def record_of(cache: Any) -> CacheRecord | None:
    """The record of a compressed cache; None for any other object."""
    return cache._apet_record if isinstance(cache, _CompressedCache) else None


def is_static(cache: Any) -> bool:
    """Whether a cache has a fixed key length (and decode may be compiled)."""
    return bool(getattr(cache, "is_compileable", False))  # a paged cache is none of transformers' caches


def tokens_in(cache: Any) -> int:
    """Tokens that a cache speaks of, dropped ones included; 0 without a cache."""
    with torch.no_grad():
        return 0 if cache is None else int(cache.get_seq_length())
