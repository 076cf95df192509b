"""The entry of a forward pass: the base model's ``forward`` opens the state of a call, and closes it."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn

from apet.core.errors import ApETError
from apet.hf.arguments import cache_in, names_of
from apet.hf.cache.compressed import record_of, tokens_in
from apet.hf.cache.record import Lease, claim
from apet.hf.cache.resume import translate_step
from apet.hf.families import Family, Modality
from apet.hf.hooks.compiled import outside_compiled_code
from apet.hf.hooks.hooks import Hooks
from apet.hf.hooks.refusals import (
    check_checkpointing,
    check_columns,
    check_masks,
    check_rows,
    check_window,
)
from apet.hf.hooks.travelling import encoded_of, not_ours
from apet.hf.hooks.vision import VisionHooks
from apet.hf.inner import uncompiled
from apet.hf.prompt.packed import leads_with_text, samples_of
from apet.hf.state import (
    ENTRIES,
    Call,
    call_in_progress,
    encoding_in_progress,
    generation_in_progress,
    running,
)
from apet.methods import Method

_RUNNING: tuple[ContextVar[Any], ...] = (call_in_progress, encoding_in_progress)


class BaseHooks(Hooks):
    """Opens a call when a forward pass brings images, and closes it however that pass ends.

    Passes without images (decode, text) go through as they are, also compiled ones.

    Args:
        method: The method that is applied.
        lease: The compression that the hooks belong to.
        family: The model's family.
        base: The base model.
        vision: The hooks of its vision side.
    """

    def __init__(
        self, method: Method, lease: Lease, family: Family, base: nn.Module, vision: VisionHooks
    ) -> None:
        super().__init__(method, lease)
        self.family = family
        self.config = family.text_of(base).config
        self.vision = vision
        self.base = weakref.ref(base)
        self.names = names_of(base)
        self.parts = {name: weakref.ref(part) for name, part in parts_of(base, family, method).items()}

    def wrap(self, forward: Callable[..., Any]) -> Callable[..., Any]:
        """Make the replacement of the base model's ``forward``."""
        names = self.names
        prefill = outside_compiled_code(functools.partial(self._prefill, forward))

        def fitted(*args: Any, **kwargs: Any) -> Any:
            kwargs = {**dict(zip(names, args, strict=False)), **kwargs} if args else kwargs
            if modalities_in(kwargs, self.family):
                return prefill(kwargs)
            record = record_of(cache_in(kwargs))
            if record is not None and self.family.base_masks:
                claim(record, self.lease)
                # The base model is about to build masks for the columns that the cache holds.
                kwargs = translate_step(kwargs, cache_in(kwargs), record)
            if torch.compiler.is_compiling() or call_in_progress.get() is None:
                return forward(**kwargs)
            with running(call_in_progress, None):  # text within a pass with images, as by somebody's hook
                return forward(**kwargs)

        return fitted

    def _prefill(self, forward: Callable[..., Any], kwargs: dict[str, Any]) -> Any:
        """A forward pass with images.

        Raises:
            ApETError: If images come with a cache that another compression filled, with features that were
                not encoded under this one, or with stage 2 and a sliding window that is too short; if rows of
                a further turn could differ in length where layers carry a state; if parts of the model were
                replaced, or features that lost tokens did not come by the language model.
        """
        kwargs = self._check_and_fit(kwargs)
        call, generation = self._open(kwargs), generation_in_progress.get()
        if any(state.get() is not None and state.get().lease is self.lease for state in _RUNNING):
            generation = None  # a pass within another one of the same model is none of its generation's
        with (
            running(generation_in_progress, generation),
            running(encoding_in_progress, None),
            running(call_in_progress, call),
        ):
            kwargs = self._with_features(kwargs, call)
            if generation is not None and generation.lease is self.lease:
                generation.encodes = False
            output = forward(**kwargs)
        if not call.entered:
            raise ApETError(
                "forward",
                "images that did not reach the language model in this call",
                "the model's own forward, with the parts that it had at apply",
            )
        return output

    def _check_and_fit(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Refuse what cannot be right, before anything is encoded; fit masks to a compressed cache."""
        base: Any = self.base()
        now = parts_of(base, self.family, self.method)
        for name in {**self.parts, **now}:
            before = self.parts[name]() if name in self.parts else None
            if now.get(name) is not before and uncompiled(now.get(name)) is not uncompiled(before):
                raise ApETError(
                    "forward",
                    f"a model whose {name} was replaced after apply",
                    "apet.remove(model), then apet.apply(model, ..)",
                )
        cache = cache_in(kwargs)
        record = record_of(cache)
        claim(record, self.lease)
        check_masks(self.config, self.family)
        seen, (rows, length) = tokens_in(cache), _tokens(kwargs).shape[:2]
        if seen:
            check_rows(self.config, rows)
        if record is None:
            check_columns(kwargs.get("attention_mask"), cache, seen, length, images=True)
        elif self.family.base_masks:
            kwargs = translate_step(kwargs, cache, record)
        if self.method.later:
            check_window(self.config, seen + length, cache)
            check_checkpointing(base)
        return kwargs

    def _open(self, kwargs: dict[str, Any]) -> Call:
        """The state of a call, with all that the host has to know of its tokens, read at once."""
        base: Any = self.base()
        present = modalities_in(kwargs, self.family)
        ids, tokens = kwargs.get("input_ids"), _tokens(kwargs)
        mask, positions = kwargs.get("attention_mask"), kwargs.get("position_ids")
        rows, length = tokens.shape[:2]
        tensors = [tokens] if ids is not None else [_embedded(base, tokens, modality) for modality in present]
        if masked := isinstance(mask, Tensor) and mask.dim() == 2:
            tensors.append(mask[:, -length:].expand(rows, -1) != 0)
        text = _text_positions(positions, self.config)
        if packs := text is not None and mask is None and not tokens_in(cache_in(kwargs)):
            tensors.append(text.expand(rows, -1))
        on_host = _on_host(tensors)
        samples = samples_of(on_host.pop()) if packs else None
        real = on_host.pop().bool() if masked else torch.ones(rows, length, dtype=torch.bool, device="cpu")
        if ids is None:
            places = [tensor.bool() for tensor in on_host]
        else:
            places = [on_host[0] == getattr(base.config, modality.placeholder) for modality in present]
        placeholders = {modality.name: place for modality, place in zip(present, places, strict=True)}
        pixels = {modality.name: kwargs.get(modality.pixels) for modality in present}
        return Call(self.lease, placeholders, real, samples, pixels, ids=None if ids is None else on_host[0])

    def _with_features(self, kwargs: dict[str, Any], call: Call) -> dict[str, Any]:
        """Take in features that were encoded before, and drop tokens of those of which none were yet."""
        outputs = {name: x for name, x in (kwargs.get("mm_encoder_outputs") or {}).items() if x is not None}
        generation = generation_in_progress.get()
        for modality in self.family.modalities:
            features = outputs.get(modality.name)
            if features is None:
                continue
            encoded = encoded_of(features)
            if encoded is None and generation is not None and generation.lease is self.lease:
                encoded = generation.encoded.get(modality.name)  # offloading rebuilds the output object
            if encoded is None:
                outputs[modality.name], encoded = self.vision.again(features, modality)
            if encoded.lease is not self.lease:
                raise not_ours(modality)
            call.encoded[modality.name] = encoded
        return {**kwargs, "mm_encoder_outputs": outputs} if outputs else kwargs


ENTRIES.add(BaseHooks._prefill.__code__)


def parts_of(base: Any, family: Family, method: Method) -> dict[str, Any]:
    """The parts of a base model that a compression relies on, by name, as they stand there."""
    text = family.text_of(base)
    parts = {family.text: text}
    if family.projector is not None and method.early:
        parts[family.projector] = getattr(base, family.projector)
    for name, child in text.named_children():
        if name.startswith("rotary_emb"):
            parts[f"{family.text}.{name}"] = child
    if method.later:
        parts |= {f"{family.text}.layers.{number}": layer for number, layer in enumerate(text.layers)}
    return parts


def modalities_in(inputs: dict[str, Any], family: Family) -> list[Modality]:
    """What visual inputs a call of the model brings, as pixels or as features."""
    features = inputs.get("mm_encoder_outputs") or {}
    return [
        modality
        for modality in family.modalities
        if features.get(modality.name) is not None or inputs.get(modality.pixels) is not None
    ]


def _tokens(kwargs: dict[str, Any]) -> Tensor:
    """``(B, L)`` ids, or ``(B, L, D)`` embeddings."""
    ids: Tensor | None = kwargs.get("input_ids")
    return kwargs["inputs_embeds"] if ids is None else ids


def _embedded(base: Any, embeds: Tensor, modality: Modality) -> Tensor:
    """``(B, L)`` bool: which embeddings are that of a placeholder."""
    number: int = getattr(base.config, modality.placeholder)
    embedding = base.get_input_embeddings()(torch.tensor(number, device=embeds.device))
    return torch.eq(embeds, embedding).all(-1)


def _text_positions(positions: Any, config: Any) -> Tensor | None:
    """``(1 or B, L)`` position ids by which masks are made."""
    if isinstance(positions, Tensor) and positions.dim() == 2:
        return positions
    return positions[0] if leads_with_text(positions, config) else None


def _on_host(tensors: list[Tensor]) -> list[Tensor]:
    """Tensors of one shape as whole numbers on the CPU, by one transfer."""
    devices = {tensor.device for tensor in tensors}
    if len(devices) > 1:
        return [tensor.to("cpu", torch.long) for tensor in tensors]
    return list(torch.stack([tensor.long() for tensor in tensors]).cpu())
