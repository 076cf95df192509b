"""Stage 2: drop visual tokens again, on the hidden states that enter a middle decoder layer."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from apet.core.errors import ApETError
from apet.hf.cache.compressed import is_static, record_of
from apet.hf.cache.index_map import invert, pack, take
from apet.hf.cache.masks import build_causal, continue_index, remap, remap_keys
from apet.hf.cache.record import Behind, CacheRecord
from apet.hf.choice.budgets import later_count
from apet.hf.choice.decide import decide
from apet.hf.hooks.attention import from_last_token
from apet.hf.hooks.base import RECURRENT
from apet.hf.hooks.hooks import Stage
from apet.hf.hooks.text import TextStage, scales_by_position
from apet.hf.prompt.shorten import make_record
from apet.hf.state import Call, Prompt
from apet.methods import Attended, Method, Stage2

__all__ = ["LayerStage"]

_FITTED = {"attention_mask", "hidden_states", "position_embeddings", "position_ids"}


class LayerStage(Stage):
    """Wrappers of the decoder layers from the first stage inside the text model on.

    In prefill the first layer behind a stage selects and shortens the hidden states, and all of them get
    rotary embeddings, masks and positions of the shorter sequence. Rotary positions stay those of the kept
    tokens. In decode they only pick the columns of the mask.
    """

    def __init__(self, method: Method, text: TextStage, config: Any) -> None:
        super().__init__(method, text.lease)
        self.stages = {stage.layer: stage for stage in method.later}
        self.text = text
        self.config = config
        kinds = getattr(config, "layer_types", None) or ()
        self.scaled = scales_by_position(config)
        self.recurrent = {number for number, kind in enumerate(kinds) if kind in RECURRENT}

    def wrap(self, number: int, forward: Callable[..., Any]) -> Callable[..., Any]:
        """Make the replacement of one layer's ``forward``.

        It stands in for a pre-hook because any hook sends a module through torch's slow way to call it, in
        every layer for every token of decode.
        """

        @functools.wraps(forward)
        def fitted(*args: Any, **kwargs: Any) -> Any:
            args, kwargs = self._before(number, args, kwargs)
            return forward(*args, **kwargs)

        return fitted

    def _before(
        self, number: int, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Select where a stage begins, and fit the arguments to what this layer gets and holds."""
        call = self.text.current()
        prompt = None if call is None else call.prompt
        if call is None or prompt is None:
            return self._decode(number, args, kwargs)
        hidden, rest = (args[0], args[1:]) if args else (kwargs["hidden_states"], ())
        if number in self.stages:
            hidden = self._select(hidden, call, prompt, self.stages[number])
        if not prompt.later or prompt.record is None:
            return self._decode(number, args, kwargs)
        index = prompt.later[-1].index
        kwargs = self._shorten(number, hidden, kwargs, prompt, index, prompt.record)
        rest = tuple(take(value, index, 1) if _per_token(value, prompt) else value for value in rest)
        return ((hidden, *rest), kwargs) if args else ((), {**kwargs, "hidden_states": hidden})

    def _select(self, hidden: Tensor, call: Call, prompt: Prompt, stage: Stage2) -> Tensor:
        """Select among the tokens that are left, once per unit; merge and gather in every copy of it.

        Args:
            hidden: ``(B, n1, D)`` hidden states.
            call: The running call.
            prompt: Gets ``later`` and ``stages``, and the new ``valid`` and ``slots``.
            stage: The stage.

        Returns:
            ``(B, n2, D)``, or ``hidden`` if nothing is dropped.
        """
        device = hidden.device  # with a device map, not that of the embeddings
        slots = [slot.to(device) for slot in prompt.slots]
        copies: dict[int, list[int]] = {}
        for place, placed in enumerate(call.placed):
            copies.setdefault(placed.number, []).append(place)
        units = list(copies)
        leads = [copies[unit][0] for unit in units]
        segments = [hidden[call.placed[lead].row, slots[lead]] for lead in leads]
        keeps = [
            later_count(self.method, stage, call.units[unit], len(segment))
            for unit, segment in zip(units, segments, strict=True)
        ]
        attention = None
        if isinstance(self.method, Attended):
            attention = [from_last_token(prompt, lead, call.placed[lead].row) for lead in leads]
        groups = decide(self.method, segments, keeps, attention)
        if not groups:
            return hidden
        keep = prompt.valid.to(device, copy=True)
        for group in groups:
            members = [units[member] for member in group.members]
            for number in range(call.copies):
                places = [copies[unit][number] for unit in members]
                rows = torch.tensor([[call.placed[place].row] for place in places], device=device)
                columns = torch.stack([slots[place] for place in places])
                kept = columns.gather(1, group.selection.indices)
                keep[rows, columns] = False
                keep[rows, kept] = True
                tokens = group.selection.apply(hidden[rows, columns], dim=1, merge=self.method.merge)
                if self.method.merge:
                    hidden = hidden.index_put((rows, kept), tokens)
                if number == 0:
                    for slot, unit in enumerate(members):
                        before = prompt.stages.get(unit)
                        candidates = _candidates(call, unit, device) if before is None else before.indices
                        new = group.stage(slot, candidates, tokens[slot])
                        prompt.stages[unit] = new if before is None else before.then(new)
                for place, row in zip(places, kept, strict=True):
                    slots[place] = row
        index = pack(keep)
        slot_of = invert(index, keep.shape[1])
        prompt.slots = [slot_of[placed.row, own] for placed, own in zip(call.placed, slots, strict=True)]
        prompt.valid = index >= 0
        prompt.later += (self._behind(prompt, stage.layer, index),)
        prompt.record = make_record(prompt)
        prompt.moved, prompt.built = [], None  # those of the last stage's length
        return take(hidden, index, 1)

    @staticmethod
    def _behind(prompt: Prompt, layer: int, index: Tensor) -> Behind:
        """A stage whose map to the slots of the last one is given."""
        index = index.to(prompt.index.device)
        if prompt.later:
            index = take(prompt.later[-1].index, index, 1).masked_fill(index < 0, -1)
        return Behind.of(layer, index)

    def _shorten(
        self,
        number: int,
        hidden: Tensor,
        kwargs: dict[str, Any],
        prompt: Prompt,
        index: Tensor,
        record: CacheRecord,
    ) -> dict[str, Any]:
        """Fit a layer's keyword arguments to the sequence behind stage 2, in prefill."""
        kwargs = dict(kwargs)

        def once(name: str, move: Callable[[Any], Any]) -> None:
            value = kwargs.get(name)
            if value is None:
                return
            for old, new in prompt.moved:
                if old is value:
                    kwargs[name] = new
                    return
            kwargs[name] = move(value)
            prompt.moved.append((value, kwargs[name]))

        once("position_embeddings", lambda given: _rotary(given, index))
        if self.scaled:
            once("position_ids", lambda ids: take(ids.expand(index.shape[0], -1), index, 1))
        else:
            once("position_ids", lambda ids: ids[..., : index.shape[1]])
        for name in kwargs.keys() - _FITTED:  # such as the kinds of tokens, by which experts are chosen
            if _per_token(kwargs[name], prompt):
                once(name, lambda old: take(old, index, 1))
        mask, cache = kwargs.get("attention_mask"), kwargs.get("past_key_values")
        behind = record.behind(number)
        keys = index if behind is None else behind.index
        if number in self.recurrent:
            kwargs["attention_mask"] = None if bool((index >= 0).all()) else (index >= 0).to(hidden.device)
        elif isinstance(mask, Tensor):
            width = mask.shape[-1] if is_static(cache) else 0
            once("attention_mask", lambda old: remap(old, index, keys, width=width))
        elif mask is not None or behind is None or not behind.full:
            if prompt.built is None:
                prompt.built = self._build(number, hidden, cache, keys >= 0, prompt.before)
            kwargs["attention_mask"] = prompt.built
        return kwargs

    def _build(self, number: int, hidden: Tensor, cache: Any, valid: Tensor, record: CacheRecord) -> Any:
        """A mask over the columns that the layers behind stage 2 hold, where none could be translated.

        Args:
            number: Number of the layer.
            hidden: ``(B, q, D)`` states that it gets.
            cache: The cache before this step, or None.
            valid: ``(B, m)`` bool over its columns, with those of this step.
            record: The record of the cache before this step.
        """
        queries, keys = hidden.shape[1], valid.shape[1]
        if cache is not None:
            keys = cache.get_mask_sizes(queries, number)[0]
            keys -= 0 if is_static(cache) or record_of(cache) is None else record.lead(number)
        return build_causal(hidden, valid, valid.shape[1] - queries, keys, self.config)

    def _decode(
        self, number: int, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Fit the mask to the columns that this layer holds, on a compressed cache."""
        cache, mask = kwargs.get("past_key_values"), kwargs.get("attention_mask")
        record = record_of(cache)
        behind = None if record is None else record.behind(number)
        # The masks of recurrent layers cover this step alone.
        if record is None or behind is None or (mask is None and behind.full) or number in self.recurrent:
            return args, kwargs
        hidden = args[0] if args else kwargs["hidden_states"]
        if torch.compiler.is_compiling():
            columns = self._columns(number, hidden, mask, cache, record, behind.index)
            return args, {**kwargs, "attention_mask": columns}
        memo = record.memo.get(behind.layer)
        if memo is None or memo[0] is not mask:
            memo = (mask, self._columns(number, hidden, mask, cache, record, behind.index))
            record.memo[behind.layer] = memo
        return args, {**kwargs, "attention_mask": memo[1]}

    def _columns(
        self, number: int, hidden: Tensor, mask: Any, cache: Any, record: CacheRecord, second: Tensor
    ) -> Any:
        """The mask of a step, over the columns that the layers behind a stage hold."""
        queries, first = hidden.shape[1], record.first.shape[1]
        if not isinstance(mask, Tensor):
            past = int(cache.get_query_offset(number)) - record.lead(number)
            valid = torch.nn.functional.pad(second >= 0, (0, past + queries - second.shape[1]), value=True)
            return self._build(number, hidden, cache, valid, record)
        width = mask.shape[-1]
        if mask.dim() == 4 and is_static(cache):
            return remap_keys(mask, continue_index(second, width, width, first))
        held = cache.get_query_offset(number) + queries
        if mask.dim() == 4 and width != held:
            raise ApETError(
                "forward",
                f"stage 2 with a mask of {width} columns where the cache holds {held}",
                "generation within the sliding window, or a method without stage 2",
            )
        return remap_keys(mask, continue_index(second, width - first + second.shape[1], width, first))


def _candidates(call: Call, unit: int, device: torch.device) -> Tensor:
    """``(C,)`` the tokens of a unit that stage 1 kept, counted in the original N."""
    first = call.stages[unit]
    if first is None:
        return torch.arange(call.units[unit].tokens, device=device)
    return first.indices.to(device)


def _rotary(given: Any, index: Tensor) -> Any:
    """Shorten rotary embeddings: cosine and sine, or one complex tensor."""
    if isinstance(given, Tensor):
        return take(given, index, given.dim() - 2)
    return tuple(_rotary(part, index) for part in given)


def _per_token(value: Any, prompt: Prompt) -> bool:
    """Whether an input of a layer has a row per token, ``(B, first, ..)``."""
    return isinstance(value, Tensor) and value.dim() > 1 and value.shape[:2] == prompt.index.shape
