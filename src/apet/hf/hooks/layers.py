"""Stage 2: drop visual tokens again, on the hidden states that enter a middle decoder layer."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from apet.hf.arguments import cache_in
from apet.hf.cache.behind import fit_step, mask_behind
from apet.hf.cache.compressed import is_static, record_of
from apet.hf.cache.index_map import invert, pack, take
from apet.hf.cache.masks import remap
from apet.hf.cache.record import Behind, CacheRecord
from apet.hf.choice.budgets import later_count
from apet.hf.choice.decide import decide
from apet.hf.hooks.context_stage2 import keys_of, originals_of, told_inside
from apet.hf.hooks.hooks import Hooks
from apet.hf.hooks.refusals import RECURRENT
from apet.hf.hooks.text import TextHooks, scales_by_position
from apet.hf.prompt.packed import counted, sample_of_slots, shorten_lengths
from apet.hf.prompt.shorten import make_record
from apet.hf.prompt_state import Prompt
from apet.hf.state import Call
from apet.methods import Method, Stage2

_FITTED = {"attention_mask", "hidden_states", "position_embeddings", "position_ids"}


class LayerHooks(Hooks):
    """Wrappers of the decoder layers from the first stage inside the text model on.

    In prefill the first layer behind a stage selects and shortens the hidden states, and all of them get
    rotary embeddings, masks and positions of the shorter sequence. Rotary positions stay those of the kept
    tokens. In decode they only pick the columns of the mask.
    """

    def __init__(self, method: Method, text: TextHooks, config: Any, norm: Any) -> None:
        super().__init__(method, text.lease)
        self.norm: Callable[[], Any] = (lambda: None) if norm is None else weakref.ref(norm)
        self.begins = {stage.layer: stage for stage in method.later}
        self.text = text
        self.config = config
        kinds = getattr(config, "layer_types", None) or ()
        self.scaled = scales_by_position(config)
        self.recurrent = {number for number, kind in enumerate(kinds) if kind in RECURRENT}

    def wrap(self, layer: int, forward: Callable[..., Any]) -> Callable[..., Any]:
        """Make the replacement of one layer's ``forward``.

        It stands in for a pre-hook because any hook sends a module through torch's slow way to call it, in
        every layer for every token of decode.
        """

        def fitted(*args: Any, **kwargs: Any) -> Any:
            args, kwargs = self._before(layer, args, kwargs)
            return forward(*args, **kwargs)

        return fitted

    def _before(
        self, layer: int, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Select where a stage begins, and fit the arguments to what this layer gets and holds."""
        call = self.text.current()
        prompt = None if call is None else call.prompt
        if call is None or prompt is None:
            return self._decode(layer, args, kwargs)
        hidden, rest = (args[0], args[1:]) if args else (kwargs["hidden_states"], ())
        if layer in self.begins:
            hidden = self._select(hidden, call, prompt, self.begins[layer], cache_in(kwargs))
        if not prompt.later or prompt.record is None:
            return self._decode(layer, args, kwargs)
        index = prompt.later[-1].index
        kwargs = self._shorten(layer, hidden, kwargs, call, prompt, prompt.record)
        rest = tuple(take(value, index, 1) if _per_token(value, prompt) else value for value in rest)
        return ((hidden, *rest), kwargs) if args else ((), {**kwargs, "hidden_states": hidden})

    def _select(self, hidden: Tensor, call: Call, prompt: Prompt, stage: Stage2, cache: Any) -> Tensor:
        """Select among the tokens that are left, once per segment; merge and gather in every copy of it.

        Args:
            hidden: ``(B, n1, D)`` hidden states.
            call: The running call.
            prompt: Gets ``later``, ``later_selections`` and ``record``, and what it says of slots anew.
            stage: The stage.
            cache: The KV cache.

        Returns:
            ``(B, n2, D)``, or ``hidden`` if nothing is dropped.
        """
        device = hidden.device  # with a device map, not that of the embeddings
        copies: dict[int, list[int]] = {}
        for place, placed in enumerate(call.placed):
            copies.setdefault(placed.number, []).append(place)
        slots = [slot.to(device) for slot in prompt.slots]
        keeps = [
            later_count(self.method, stage, call.segments[number], len(slots[places[0]]))
            for number, places in copies.items()
        ]
        first = {number: slots[places[0]] for number, places in copies.items()}
        decision = decide(
            self.method.inside(stage),
            [hidden.flatten(0, 1)],
            [[slots[place] for place in places] for places in copies.values()],
            keeps,
            candidates=[originals_of(call, prompt, number) for number in copies],
            contexts=told_inside(
                self.method, hidden, call, prompt, first, lambda: self._decoder(hidden, prompt, stage, cache)
            ),
        )
        if decision is None:
            return hidden
        prompt.columns_left = prompt.columns_left.clone()
        for (number, places), selection, kept_slots in zip(
            copies.items(), decision.selections, decision.kept_places, strict=True
        ):
            if selection is None or kept_slots is None:
                continue
            prompt.later_selections[number] = (*prompt.later_selections.get(number, ()), selection)
            for place, kept in zip(places, kept_slots, strict=True):
                slots[place] = kept
                placed = call.placed[place]
                prompt.columns_left[placed.row, placed.columns] = 0
                prompt.columns_left[placed.row, placed.columns[0]] = len(kept)
        valid = prompt.valid.to(device)
        keep = valid.flatten().index_fill(0, decision.touched, False).index_fill_(0, decision.kept, True)
        width = int(prompt.columns_left.sum(1).max())
        index = pack(keep.view(valid.shape), width)
        begins = torch.arange(len(index), device=device)[:, None] * width
        slot_of = (invert(index, valid.shape[1]) + begins).flatten()
        prompt.slots = list(slot_of[torch.cat(slots)].split([len(own) for own in slots]))
        prompt.valid = index >= 0
        prompt.later += (self._behind(prompt, stage.layer, index),)
        prompt.record = make_record(prompt)
        prompt.moved, prompt.built = [], None  # those of the last stage's length
        short = take(hidden, index, 1)
        if self.method.merge:
            short.view(-1, short.shape[-1]).index_copy_(0, slot_of[decision.kept], decision.values[0])
        return short

    def _decoder(self, hidden: Tensor, prompt: Prompt, stage: Stage2, cache: Any) -> tuple[Tensor, Tensor]:
        """States through the last norm, and norms of the keys of the layer just run, of every slot."""
        norm, layer = self.norm(), stage.layer - 1
        held = prompt.seen - prompt.before.dropped(layer)
        keys = keys_of(cache, layer, held, hidden.shape[1]).to(hidden.device)
        with torch.no_grad():
            return (hidden if norm is None else norm(hidden)).detach(), keys

    @staticmethod
    def _behind(prompt: Prompt, layer: int, index: Tensor) -> Behind:
        """A stage whose map to the slots of the last one is given."""
        index = index.to(prompt.index.device)
        if prompt.later:
            index = take(prompt.later[-1].index, index, 1).masked_fill(index < 0, -1)
        return Behind(layer, index, prompt.last_full)

    def _shorten(
        self,
        layer: int,
        hidden: Tensor,
        kwargs: dict[str, Any],
        call: Call,
        prompt: Prompt,
        record: CacheRecord,
    ) -> dict[str, Any]:
        """Fit a layer's keyword arguments to the sequence behind stage 2, in prefill."""
        kwargs, index, samples = dict(kwargs), prompt.later[-1].index, prompt.samples

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

        once("position_embeddings", lambda rotary: _rotary(rotary, index))
        if self.scaled:
            once("position_ids", lambda ids: take(ids.expand(index.shape[0], -1), index, 1))
        elif samples is not None:
            once(
                "position_ids",
                lambda ids: counted(prompt.columns_left, samples, index.shape[1]).to(ids.device),
            )
        else:
            once("position_ids", lambda ids: ids[..., : index.shape[1]])
        for name in kwargs.keys() - _FITTED:  # such as the kinds of tokens, by which experts are chosen
            if _per_token(kwargs[name], prompt):
                once(name, lambda old: take(old, index, 1))
        shorten_lengths(kwargs, prompt.lengths, prompt.columns_left, call.placed)
        mask, cache = kwargs.get("attention_mask"), cache_in(kwargs)
        behind = record.behind(layer)
        keys = index if behind is None else behind.index
        if layer in self.recurrent:
            shown = prompt.last_full and prompt.masked_slots is None
            kwargs["attention_mask"] = None if shown else prompt.shown_in(index).to(hidden.device)
        elif isinstance(mask, Tensor):
            width = mask.shape[-1] if is_static(cache) else 0  # 0: no more than the map has
            once("attention_mask", lambda old: remap(old, index, keys, width=width))
        elif mask is not None or behind is None or not behind.full:
            if prompt.built is None:
                own = (
                    None if samples is None else sample_of_slots(prompt.columns_left, samples, index.shape[1])
                )
                valid = torch.cat(
                    [keys[:, : -index.shape[1]] >= 0, prompt.shown_in(index).to(keys.device)], 1
                )
                prompt.built = mask_behind(self.config, layer, hidden, cache, valid, prompt.before, own)
            kwargs["attention_mask"] = prompt.built
        return kwargs

    def _decode(
        self, layer: int, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Fit the mask to the columns that this layer holds, on a compressed cache."""
        cache, mask = cache_in(kwargs), kwargs.get("attention_mask")
        record = record_of(cache)
        behind = None if record is None else record.behind(layer)
        # The masks of recurrent layers cover this step alone.
        if record is None or behind is None or (mask is None and behind.full) or layer in self.recurrent:
            return args, kwargs
        hidden = args[0] if args else kwargs["hidden_states"]
        if torch.compiler.is_compiling():
            columns = fit_step(self.config, layer, hidden, mask, cache, record, behind.index)
            return args, {**kwargs, "attention_mask": columns}
        memo = record.memo.get(behind.layer)
        if memo is None or memo[0] is not mask:
            memo = (mask, fit_step(self.config, layer, hidden, mask, cache, record, behind.index))
            record.memo[behind.layer] = memo
        return args, {**kwargs, "attention_mask": memo[1]}


def _rotary(embeddings: Any, index: Tensor) -> Any:
    """Shorten rotary embeddings: cosine and sine, or one complex tensor."""
    if isinstance(embeddings, Tensor):
        return take(embeddings, index, embeddings.dim() - 2)
    return tuple(_rotary(part, index) for part in embeddings)


def _per_token(value: Any, prompt: Prompt) -> bool:
    """Whether an input of a layer has a row per token, ``(B, first, ..)``."""
    return isinstance(value, Tensor) and value.dim() > 1 and value.shape[:2] == prompt.index.shape
