"""The seam where every family ends: the call to the text model."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from apet.core.errors import ApETError
from apet.hf.cache import Lease, adopt, record_of
from apet.hf.packing import expand_map, take
from apet.hf.prefill import final_index, make_record, shorten
from apet.hf.results import ImageResult
from apet.hf.resume import resume
from apet.hf.sessions import Session
from apet.hf.stage import Stage
from apet.hf.state import Call, Prompt, call_in_progress, generation_in_progress
from apet.methods import Method

__all__ = ["TextStage"]


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
        """Gather the kept rows in prefill; translate masks and positions in decode."""
        record = record_of(kwargs.get("past_key_values"))
        if record is not None:
            if record.lease is not self.lease:
                raise ApETError(
                    "forward",
                    "a KV cache that was filled under another compression",
                    "a new cache, or the compression that filled this one",
                )
            return args, resume(dict(kwargs), record)
        call = self.current()
        if call is None or not any(encoded.total for encoded in call.encoded.values()):
            return None
        rope = getattr(module.config, "rope_parameters", None) or {}
        section = rope.get("mrope_section")
        return args, shorten(dict(kwargs), call, self.method, len(section) if section else 3)

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

    def after(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        """Bring ``last_hidden_state`` back to the caller's length, and mark the cache as compressed."""
        call = self.current()
        if call is None or call.prompt is None:
            return None
        prompt = call.prompt
        self._report(call, prompt)
        if prompt.positions is None and prompt.second is None:  # everything was kept
            return None
        if getattr(output, "past_key_values", None) is not None:
            adopt(output.past_key_values, make_record(prompt, self.lease, self.method))
        final, hidden = final_index(prompt), output.last_hidden_state
        if not hidden.shape[1] == 1 < final.shape[1]:  # else the model handed back the last token alone
            output.last_hidden_state = take(hidden, expand_map(final, prompt.length), 1)
        return output

    def _report(self, call: Call, prompt: Prompt) -> None:
        """Hand the results to the session, one per image of the caller's rows."""
        copies = call.copies
        generation = generation_in_progress.get()
        if generation is not None and generation.lease is self.lease and generation.rows:
            # Older transformers repeats pixels, not features, so copies look like images of their own.
            copies = prompt.index.shape[0] // generation.rows
        self.session.record(
            [
                ImageResult(
                    row=placed.row // copies,
                    tokens=call.units[placed.number].tokens,
                    stage1=call.stages[placed.number],
                    stage2=prompt.stages.get(placed.number),
                    modality=call.units[placed.number].modality,
                    image=call.units[placed.number].image,
                    part=call.units[placed.number].part,
                )
                for placed in call.placed
                if placed.row % copies == 0
            ]
        )

    def current(self) -> Call | None:
        """The running forward pass with images, if it belongs to this compression."""
        if torch.compiler.is_compiling():  # only decode is compiled, and decode has no call state
            return None
        call = call_in_progress.get()
        return call if call is not None and call.lease is self.lease else None
