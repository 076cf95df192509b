"""What ``generate`` needs beyond the hooks: early refusals, and masks for static caches."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from apet.core.errors import ApETError
from apet.hf.cache.compressed import is_static, record_of, tokens_in
from apet.hf.cache.record import Lease, check_lease
from apet.hf.cache.resume import translate
from apet.hf.families import Family
from apet.hf.hooks.base import check_rows, modalities_in
from apet.hf.sessions import Session
from apet.hf.state import Generation, generation_in_progress
from apet.methods import Attended, Method

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
            check_options(model, family, kwargs, lease, _rows(args, kwargs))
            check_last_token(model, kwargs, session.method)
        session.begin()
        token = generation_in_progress.set(Generation(lease, _rows(args, kwargs), _ids(args, kwargs)))
        try:
            return original(*args, **kwargs)
        finally:
            generation_in_progress.reset(token)

    return generate


def check_options(model: Any, family: Family, kwargs: dict[str, Any], lease: Lease, rows: int | None) -> None:
    """Refuse ways to generate from images that cannot be right, before anything is encoded.

    Raises:
        ApETError: If the cache was filled under another compression; if images come with a prefill in chunks
            on embeddings, of a model that encodes images within its forward pass, or of several rows where
            layers carry a state; or with a paged cache.
    """
    check_lease(record_of(kwargs.get("past_key_values")), lease)

    def option(name: str) -> Any:
        config = kwargs.get("generation_config") or model.generation_config
        return kwargs.get(name, getattr(config, name, None))

    chunk = option("prefill_chunk_size")
    if chunk is not None and "mm_encoder_outputs" not in inspect.signature(model.forward).parameters:
        raise ApETError(
            "generate",
            f"prefill_chunk_size={chunk} with images",
            "prefill_chunk_size=None, where the model encodes images within its forward pass",
        )
    if chunk is not None and kwargs.get("inputs_embeds") is not None:
        raise ApETError(
            "generate", f"prefill_chunk_size={chunk} with images and inputs_embeds", "input_ids alone"
        )
    if chunk is not None:
        copies = max(option("num_beams") or 1, option("num_return_sequences") or 1)
        check_rows(family.text_of(model.base_model).config, (rows or 1) * copies)
    if option("cache_implementation") == "paged":
        raise ApETError(
            "generate",
            "cache_implementation='paged' with images",
            "another cache: transformers' continuous batching takes token ids alone",
        )


def check_last_token(model: Any, kwargs: dict[str, Any], method: Method) -> None:
    """Refuse chunks where a method reads the attention of the prompt's last token, which comes too late.

    Raises:
        ApETError: If it does.
    """
    config = kwargs.get("generation_config") or model.generation_config
    chunk = kwargs.get("prefill_chunk_size", getattr(config, "prefill_chunk_size", None))
    if chunk is not None and isinstance(method, Attended) and method.reads == "text":
        raise ApETError(
            "generate",
            f"prefill_chunk_size={chunk} under {type(method).__name__}",
            "prefill_chunk_size=None: it reads the attention of the prompt's last token",
        )


def _rows(args: tuple[Any, ...], kwargs: dict[str, Any]) -> int | None:
    """Rows of the batch that the caller passed to ``generate``."""
    first = args[0] if args else None
    for given in (kwargs.get("input_ids"), kwargs.get("inputs"), kwargs.get("inputs_embeds"), first):
        if isinstance(given, Tensor):
            return given.shape[0]
    return None


def _ids(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """The new token ids, behind what a cache holds, that the caller passed to ``generate``."""
    held, mask = tokens_in(kwargs.get("past_key_values")), kwargs.get("attention_mask")
    first = args[0] if args else None
    for given in (kwargs.get("input_ids"), kwargs.get("inputs"), first):
        if isinstance(given, Tensor) and not given.is_floating_point():
            whole = mask is None or mask.shape[1] == given.shape[1]
            return given[:, held:] if whole else given
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
        translated = mask
        if record is not None and mask is None and not record.full_first:
            new = kwargs.get("next_sequence_length") or input_ids.shape[1]
            translated = translate(None, record, int(cache.get_seq_length()) + new)
        elif record is not None and mask is not None and mask.dim() == 2:
            translated = translate(mask, record, mask.shape[1])
        inputs = original(input_ids, *args, **{**kwargs, "attention_mask": translated})
        if modalities_in(inputs, family):
            inputs["attention_mask"] = mask
        return inputs

    return prepare
