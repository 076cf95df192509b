"""What ``generate`` needs beyond the hooks: early refusals, and masks for static caches."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from apet.core.errors import ApETError
from apet.hf.arguments import cache_in, names_of
from apet.hf.cache.compressed import is_static, record_of, tokens_in
from apet.hf.cache.record import claim
from apet.hf.cache.resume import translate
from apet.hf.families import Family
from apet.hf.hooks.base import modalities_in
from apet.hf.hooks.refusals import check_rows
from apet.hf.hooks.travelling import encoded_of
from apet.hf.hooks.vision import VisionHooks
from apet.hf.inner import base_of
from apet.hf.sessions import Session
from apet.hf.state import (
    ENTRIES,
    Generation,
    call_in_progress,
    encoding_in_progress,
    generation_in_progress,
    running,
)
from apet.methods import Method


def guard_generate(
    original: Callable[..., Any], model: nn.Module, family: Family, session: Session, vision: VisionHooks
) -> Callable[..., Any]:
    """Make the replacement of ``generate``: refuse what cannot be right, then call the original.

    Args:
        original: The model's ``generate``.
        model: The model.
        family: Its family.
        session: Forgets this thread's results when a generation starts.
        vision: The hooks of the model's vision side.
    """
    signature, head, lease = inspect.signature(original), weakref.ref(model), vision.lease

    def generate(*args: Any, **kwargs: Any) -> Any:
        arguments = signature.bind_partial(*args, **kwargs).arguments
        arguments |= arguments.pop("kwargs", {})
        options = _Options(head(), arguments)
        cache, images = cache_in(arguments), modalities_in(arguments, family)
        claim(record_of(cache), lease)
        if images:
            check_options(head(), family, arguments, options)
            check_last_token(options, session.method)
        elif record_of(cache) is None and tokens_in(cache):
            _check_placeholders(head(), family, _ids(arguments))
        session.begin()
        own_loop = arguments.get("custom_generate") is not None  # which may encode for itself
        ids = _ids(arguments)
        generation = Generation(lease, _rows(arguments), ids, _real(arguments, ids), encodes=not own_loop)
        with (
            running(call_in_progress, None),
            running(encoding_in_progress, None),
            running(generation_in_progress, generation),
        ):
            features = arguments.get("mm_encoder_outputs")
            if features:
                kwargs["mm_encoder_outputs"] = _decided(features, family, vision, generation)
            return original(*args, **kwargs)

    ENTRIES.add(generate.__code__)
    return generate


class _Options:
    """What a call of ``generate`` asks for, wherever it says so: an argument, its config, the model's."""

    def __init__(self, model: Any, arguments: dict[str, Any]) -> None:
        self.given = arguments
        self.config = arguments.get("generation_config") or model.generation_config

    def __call__(self, name: str) -> Any:
        return self.given[name] if name in self.given else getattr(self.config, name, None)


def _decided(
    features: dict[str, Any], family: Family, vision: VisionHooks, generation: Generation
) -> dict[str, Any]:
    """Features that a caller encoded before, with stage 1's decisions on them."""
    decided = dict(features)
    for kind in family.modalities:
        if decided.get(kind.name) is not None and encoded_of(decided[kind.name]) is None:
            decided[kind.name], generation.encoded[kind.name] = vision.again(decided[kind.name], kind)
    return decided


def check_options(model: Any, family: Family, arguments: dict[str, Any], options: _Options) -> None:
    """Refuse ways to generate from images that cannot be right, before anything is encoded.

    Raises:
        ApETError: If images come with a prefill in chunks on embeddings, of a model that encodes images
            within its forward pass, or of several rows where layers carry a state; or with a paged cache.
    """
    chunk = options("prefill_chunk_size")
    if chunk is not None and "mm_encoder_outputs" not in names_of(model):
        raise ApETError(
            "generate",
            f"prefill_chunk_size={chunk} with images",
            "prefill_chunk_size=None, where the model encodes images within its forward pass",
        )
    if chunk is not None and arguments.get("inputs_embeds") is not None:
        raise ApETError(
            "generate", f"prefill_chunk_size={chunk} with images and inputs_embeds", "input_ids alone"
        )
    if chunk is not None:
        copies = max(options("num_beams") or 1, options("num_return_sequences") or 1)
        check_rows(family.text_of(base_of(model)).config, (_rows(arguments) or 1) * copies)
    if options("cache_implementation") == "paged":
        raise ApETError(
            "generate",
            "cache_implementation='paged' with images",
            "another cache: transformers' continuous batching takes token ids alone",
        )


def check_last_token(options: _Options, method: Method) -> None:
    """Refuse chunks where a method looks at the prompt, which comes in parts."""
    chunk = options("prefill_chunk_size")
    if chunk is not None and not method.blind:
        raise ApETError(
            "generate",
            f"prefill_chunk_size={chunk} under {type(method).__name__}",
            "prefill_chunk_size=None: it looks at the whole prompt",
        )


def _check_placeholders(model: Any, family: Family, ids: Tensor | None) -> None:
    """Refuse placeholders of images that are neither given nor in a cache that was compressed.

    Raises:
        ApETError: If there are some: the cache holds fewer columns than the tokens it is taken for.
    """
    places = [getattr(base_of(model).config, kind.placeholder) for kind in family.modalities]
    if ids is not None and bool(torch.isin(ids, torch.tensor(places, device=ids.device)).any()):
        raise ApETError(
            "generate",
            "placeholders of images without images, behind a cache that is not compressed",
            "the cache object that the compressed prefill filled: copies of its keys and values do not tell "
            "which tokens they are",
        )


def _rows(arguments: dict[str, Any]) -> int | None:
    """Rows of the batch that the caller passed to ``generate``."""
    for name in ("input_ids", "inputs", "inputs_embeds"):
        if isinstance(arguments.get(name), Tensor):
            return int(arguments[name].shape[0])
    return None


def _ids(arguments: dict[str, Any]) -> Tensor | None:
    """The new token ids, behind what a cache holds, that the caller passed to ``generate``."""
    held, mask = tokens_in(cache_in(arguments)), arguments.get("attention_mask")
    for ids in (arguments.get("input_ids"), arguments.get("inputs")):
        if isinstance(ids, Tensor) and not ids.is_floating_point():
            whole = mask is None or mask.shape[1] == ids.shape[1]
            return ids[:, held:] if whole else ids
    return None


def _real(arguments: dict[str, Any], ids: Tensor | None) -> Tensor | None:
    """Which of the new ids are no padding, as far as a mask tells."""
    mask = arguments.get("attention_mask")
    if ids is None or not isinstance(mask, Tensor) or mask.dim() != 2:
        return None
    return mask[:, mask.shape[1] - ids.shape[1] :] != 0


def wrap_prepare(original: Callable[..., Any], family: Family) -> Callable[..., Any]:
    """Make the replacement of ``prepare_inputs_for_generation``.

    With a static cache this method turns the 2D mask into a 4D one. For a prefill with images that is too
    early, so the 2D mask is handed on and the text model builds its own; in decode the mask is first
    translated to the columns that the cache holds.
    """

    def prepare(input_ids: Any, *args: Any, **kwargs: Any) -> Any:
        cache: Any = cache_in(kwargs)
        if not is_static(cache):
            return original(input_ids, *args, **kwargs)
        record, mask = record_of(cache), kwargs.get("attention_mask")
        translated = mask
        if record is not None and mask is None and not record.first_full:
            new = kwargs.get("next_sequence_length") or input_ids.shape[1]
            translated = translate(None, record, int(cache.get_seq_length()) + new)
        elif record is not None and mask is not None and mask.dim() == 2:
            translated = translate(mask, record, mask.shape[1])
        inputs = original(input_ids, *args, **{**kwargs, "attention_mask": translated})
        if modalities_in(inputs, family):
            inputs["attention_mask"] = mask
        return inputs

    return prepare
