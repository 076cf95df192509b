"""What ``generate`` needs beyond the hooks: early refusals, and masks for static caches."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from apet.core.errors import ApETError
from apet.hf.base import check_fresh, modalities_in
from apet.hf.cache import Lease, is_static, record_of
from apet.hf.families import Family
from apet.hf.resume import translate
from apet.hf.sessions import Session
from apet.hf.state import Generation, generation_in_progress

__all__ = ["guard_generate", "wrap_prepare"]


def guard_generate(
    original: Callable[..., Any], model: nn.Module, family: Family, session: Session, lease: Lease
) -> Callable[..., Any]:
    """Make the replacement of ``generate``: refuse what cannot be right, then call the original.

    Args:
        original: The model's ``generate``.
        model: The model.
        family: Its family.
        session: Forgets this thread's results when a generation starts.
        lease: The compression.
    """

    @functools.wraps(original)
    def generate(*args: Any, **kwargs: Any) -> Any:
        if modalities_in(kwargs, family):
            check_fresh(kwargs.get("past_key_values"))
            config = kwargs.get("generation_config") or getattr(model, "generation_config", None)
            chunk = kwargs.get("prefill_chunk_size", getattr(config, "prefill_chunk_size", None))
            if chunk is not None:
                raise ApETError(
                    "generate",
                    f"prefill_chunk_size={chunk} with images",
                    "prefill_chunk_size=None: a prompt with compressed images is taken in one piece",
                )
        session.begin()
        token = generation_in_progress.set(Generation(lease, _rows(args, kwargs), _ids(args, kwargs)))
        try:
            return original(*args, **kwargs)
        finally:
            generation_in_progress.reset(token)

    return generate


def _rows(args: tuple[Any, ...], kwargs: dict[str, Any]) -> int | None:
    """Rows of the batch that the caller passed to ``generate``."""
    first = args[0] if args else None
    for given in (kwargs.get("input_ids"), kwargs.get("inputs"), kwargs.get("inputs_embeds"), first):
        if isinstance(given, Tensor):
            return given.shape[0]
    return None


def _ids(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """The new token ids, behind what a cache holds, that the caller passed to ``generate``."""
    cache: Any = kwargs.get("past_key_values")
    held = 0 if cache is None else int(cache.get_seq_length())
    first = args[0] if args else None
    for given in (kwargs.get("input_ids"), kwargs.get("inputs"), first):
        if isinstance(given, Tensor) and not given.is_floating_point():
            return given[:, held:]
    return None


def wrap_prepare(original: Callable[..., Any], family: Family) -> Callable[..., Any]:
    """Make the replacement of ``prepare_inputs_for_generation``.

    With a static cache this method turns the 2D mask into a 4D one. For a prefill with images that is too
    early, so the 2D mask is handed on and the text model builds its own; in decode the mask is first
    translated to the columns that the cache holds.
    """

    @functools.wraps(original)  # generate reads the signature
    def prepare(input_ids: Any, *args: Any, **kwargs: Any) -> Any:
        cache: Any = kwargs.get("past_key_values")
        if not is_static(cache):
            return original(input_ids, *args, **kwargs)
        record, mask = record_of(cache), kwargs.get("attention_mask")
        if record is not None and (mask is None or mask.dim() == 2):
            if mask is None and not record.full_first:
                new = kwargs.get("next_sequence_length") or input_ids.shape[1]
                kwargs["attention_mask"] = translate(None, record, int(cache.get_seq_length()) + new)
            elif mask is not None:
                kwargs["attention_mask"] = translate(mask, record, mask.shape[1])
            return original(input_ids, *args, **kwargs)
        inputs = original(input_ids, *args, **kwargs)
        if modalities_in(inputs, family):
            inputs["attention_mask"] = mask
        return inputs

    return prepare
