"""The seam where every family ends: the call to the text model."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache

from apet.core.errors import ApETError
from apet.hf.arguments import cache_in, cache_out, names_of
from apet.hf.cache.compressed import adopt, is_static, record_of, tokens_in
from apet.hf.cache.index_map import expand_map, take
from apet.hf.cache.record import CacheRecord, Lease, claim
from apet.hf.cache.resume import resume
from apet.hf.hooks.hooks import Hooks
from apet.hf.hooks.refusals import check_columns, check_even, check_packed
from apet.hf.prompt.packed import first_slots
from apet.hf.prompt.raters import raters_of
from apet.hf.prompt.shorten import final_index, make_record, shorten
from apet.hf.prompt_state import Prompt
from apet.hf.results import ImageResult, StageSelection
from apet.hf.sessions import Session
from apet.hf.state import Call, call_in_progress, encoding_in_progress, generation_in_progress, running
from apet.methods import Method


def scales_by_position(config: Any) -> bool:
    """Whether the layers of a text model scale queries by the ``position_ids`` they get (Ministral 3)."""
    return "llama_4_scaling_beta" in (getattr(config, "rope_parameters", None) or {})


class TextHooks(Hooks):
    """Hooks of one text model: shorten the prompt on entry, lengthen the hidden states on exit.

    In prefill the layers get plain counting ``position_ids``, and the rotary embedding alone gets the tokens'
    real positions: gaps in ``position_ids`` would make FlashAttention's path and the mask code take the batch
    for packed sequences. In decode all that is needed stands in the cache's record, so no context variable is
    read and a compiled step has nothing to break on.
    """

    def __init__(self, method: Method, lease: Lease, session: Session, text: nn.Module) -> None:
        super().__init__(method, lease)
        self.session = session
        self.names = names_of(text)
        self.config: Any = text.config

    def wrap(self, forward: Callable[..., Any]) -> Callable[..., Any]:
        """Make the replacement of the text model's ``forward``."""
        names = self.names

        def fitted(*args: Any, **kwargs: Any) -> Any:
            kwargs = {**dict(zip(names, args, strict=False)), **kwargs}
            cache = cache_in(kwargs)
            record = record_of(cache)
            call = self.current()
            if record is not None:
                claim(record, self.lease)
                kwargs = resume(kwargs, cache, record)
            if call is None:
                if record is None and cache is not None and not torch.compiler.is_compiling():
                    self._check_plain(kwargs, cache)
                return forward(**kwargs)
            embeds: Any = kwargs.get("inputs_embeds")
            if not self._claims(embeds, call):  # text within a pass with images, as by somebody's hook
                with running(call_in_progress, None):
                    return forward(**kwargs)
            call.entered = True
            if not any(encoded.total for encoded in call.encoded.values()):
                return forward(**kwargs)
            check_packed(self.method, call.samples)
            before = record or CacheRecord.blank(self.lease, embeds.shape[0], embeds.device)
            kwargs = shorten(kwargs, call, self.method, before, tokens_in(cache), self.config)
            if call.prompt is not None and getattr(self.method, "asking", None) == "raters":
                call.prompt.raters = raters_of(call, call.prompt, kwargs["inputs_embeds"])
            return self._after(call, forward(**kwargs))

        return fitted

    def _claims(self, embeds: Any, call: Call) -> bool:
        """Whether a call of the text model is that of the pass with images: the first that came, once."""
        if call.entered:
            return False
        # Another that has arrived before and not begun: this one is a hook's, within its call.
        inner, call.arrived = call.arrived > 1, max(call.arrived - 1, 0)
        encoding = encoding_in_progress.get()
        if inner or not call.ready or (encoding is not None and encoding.lease is self.lease):
            return False
        return isinstance(embeds, Tensor) and embeds.shape[:2] == call.real.shape

    def arrive(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Count the calls of the text model that come before anybody's hook may make one of its own."""
        call = self.current()
        if call is not None and not call.entered:
            call.arrived += 1

    def _check_plain(self, kwargs: dict[str, Any], cache: Any) -> None:
        """Refuse what shows that a plain cache holds a copy of compressed keys and values."""
        if is_static(cache) or not isinstance(cache, Cache):
            return
        if self.method.later:
            check_even(cache)
        mask, tokens = kwargs.get("attention_mask"), kwargs.get("inputs_embeds")
        tokens = kwargs.get("input_ids") if tokens is None else tokens
        if isinstance(mask, Tensor) and isinstance(tokens, Tensor):
            check_columns(mask, cache, tokens_in(cache), tokens.shape[1], images=False)

    def rotary(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Give the rotary embedding the kept tokens' real positions."""
        positions = self._positions()
        if positions is None or "position_ids" in kwargs:
            return None if positions is None else (args, {**kwargs, "position_ids": positions})
        return (args[0], positions, *args[2:]), kwargs

    def layer(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Give a layer that scales its queries by their positions the real ones, too."""
        positions = self._positions()
        return None if positions is None else (args, {**kwargs, "position_ids": positions})

    def _positions(self) -> Tensor | None:
        """The kept tokens' real positions in the running pass, where they are not the plain count."""
        call = self.current()
        return None if call is None or call.prompt is None else call.prompt.positions

    def _after(self, call: Call, output: Any) -> Any:
        """Bring ``last_hidden_state`` back to the caller's length, and mark the cache as compressed."""
        prompt = call.prompt
        if prompt is None:
            return output
        self._report(call, prompt)
        if prompt.positions is None and not prompt.later:  # everything was kept
            return output
        if isinstance(output, tuple):
            raise ApETError("forward", "a text model that returns a tuple", "return_dict=True")
        cache = cache_out(output)
        if cache is not None:
            adopt(cache, prompt.record or make_record(prompt))
        final, hidden = final_index(prompt), output.last_hidden_state
        if not hidden.shape[1] == 1 < final.shape[1]:  # else the model handed back the last token alone
            back = expand_map(final, prompt.length)
            if prompt.samples is not None:  # no row of another sample
                first = first_slots(prompt.columns_left, prompt.samples, final.shape[1])
                back = torch.maximum(back, first.to(back.device))
            output.last_hidden_state = take(hidden, back, 1)
        return output

    def _report(self, call: Call, prompt: Prompt) -> None:
        """Hand the results to the session, one per image of the caller's rows."""
        copies, more = call.copies, False
        generation = generation_in_progress.get()
        if generation is not None and generation.lease is self.lease and generation.rows:
            # Older transformers repeats pixels, not features, so copies look like images of their own.
            copies, more = prompt.index.shape[0] // generation.rows, generation.chunk > 0
        self.session.record(
            [
                ImageResult(
                    row=placed.row // copies,
                    tokens=(segment := call.segments[placed.number]).tokens,
                    stage1=call.selections[placed.number],
                    stage2=_as_one(prompt.later_selections.get(placed.number)),
                    modality=segment.modality,
                    image=segment.image,
                    part=segment.part,
                    rows=segment.rows,
                    grids=call.encoded[segment.modality].grids_of(segment),
                )
                for placed in call.placed
                if placed.row % copies == 0
            ],
            more=more,
        )

    def current(self) -> Call | None:
        """The running forward pass with images, if it belongs to this compression."""
        if torch.compiler.is_compiling():  # a pass with images is never compiled
            return None
        call = call_in_progress.get()
        return call if call is not None and call.lease is self.lease else None


def _as_one(selections: tuple[StageSelection, ...] | None) -> StageSelection | None:
    """The selections of all stages inside the text model together."""
    return reduce(StageSelection.then, selections) if selections else None
