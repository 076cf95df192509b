"""The seam where every family ends: the call to the text model."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from apet.hf.cache.compressed import adopt, record_of, tokens_in
from apet.hf.cache.index_map import expand_map, take
from apet.hf.cache.record import CacheRecord, Lease, check_lease
from apet.hf.cache.resume import resume
from apet.hf.hooks.hooks import Stage
from apet.hf.prompt.shorten import final_index, make_record, shorten
from apet.hf.results import ImageResult
from apet.hf.sessions import Session
from apet.hf.state import Call, Prompt, call_in_progress, generation_in_progress
from apet.methods import Method

__all__ = ["TextStage", "scales_by_position"]


def scales_by_position(config: Any) -> bool:
    """Whether the layers of a text model scale queries by the ``position_ids`` they get (Ministral 3)."""
    return "llama_4_scaling_beta" in (getattr(config, "rope_parameters", None) or {})


class TextStage(Stage):
    """Hooks of one text model: shorten the prompt on entry, lengthen the hidden states on exit.

    In prefill the layers get plain counting ``position_ids``, and the rotary embedding alone gets the tokens'
    real positions: gaps in ``position_ids`` would make FlashAttention's path and the mask code take the batch
    for packed sequences. In decode all that is needed stands in the cache's record, so no context variable is
    read and a compiled step has nothing to break on.
    """

    def __init__(self, method: Method, lease: Lease, session: Session) -> None:
        super().__init__(method, lease)
        self.session = session

    def before(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Translate masks and positions to what a compressed cache holds; gather the kept rows in prefill.

        A call that compiles is a step of decoding: it has no call state, and neither has text.
        """
        cache, kwargs = kwargs.get("past_key_values"), dict(kwargs)
        record = record_of(cache)
        if record is not None:
            check_lease(record, self.lease)
            kwargs = resume(kwargs, record)
        call = self.current()
        if call is None or not any(encoded.total for encoded in call.encoded.values()):
            return None if record is None else (args, kwargs)
        embeds = kwargs["inputs_embeds"]
        before = record or CacheRecord.blank(self.lease, embeds.shape[0], embeds.device)
        return args, shorten(kwargs, call, self.method, before, tokens_in(cache), module.config)

    def rotary(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Give the rotary embedding the kept tokens' real positions."""
        call = self.current()
        if call is None or call.prompt is None or call.prompt.positions is None:
            return None
        if "position_ids" in kwargs:
            return args, {**kwargs, "position_ids": call.prompt.positions}
        return (args[0], call.prompt.positions, *args[2:]), kwargs

    def layer(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Give a layer that scales its queries by their positions the real ones, too."""
        call = self.current()
        if call is None or call.prompt is None or call.prompt.positions is None:
            return None
        return args, {**kwargs, "position_ids": call.prompt.positions}

    def after(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        """Bring ``last_hidden_state`` back to the caller's length, and mark the cache as compressed."""
        call = self.current()
        if call is None or call.prompt is None:
            return None
        prompt = call.prompt
        self._report(call, prompt)
        if prompt.positions is None and not prompt.later:  # everything was kept
            return None
        if getattr(output, "past_key_values", None) is not None:
            adopt(output.past_key_values, prompt.record or make_record(prompt))
        final, hidden = final_index(prompt), output.last_hidden_state
        if not hidden.shape[1] == 1 < final.shape[1]:  # else the model handed back the last token alone
            output.last_hidden_state = take(hidden, expand_map(final, prompt.length), 1)
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
                    tokens=(unit := call.units[placed.number]).tokens,
                    stage1=call.stages[placed.number],
                    stage2=prompt.stages.get(placed.number),
                    modality=unit.modality,
                    image=unit.image,
                    part=unit.part,
                    rows=unit.rows,
                    grids=call.encoded[unit.modality].grids_of(unit),
                )
                for placed in call.placed
                if placed.row % copies == 0
            ],
            more=more,
        )

    def current(self) -> Call | None:
        """The running forward pass with images, if it belongs to this compression."""
        if torch.compiler.is_compiling():  # only decode is compiled, and decode has no call state
            return None
        call = call_in_progress.get()
        return call if call is not None and call.lease is self.lease else None
