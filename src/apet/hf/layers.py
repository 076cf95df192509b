"""Stage 2: drop visual tokens again, on the hidden states that enter a middle decoder layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from apet.core.budget import resolve_keep
from apet.core.errors import ApETError
from apet.hf.cache import CacheRecord, is_static, record_of
from apet.hf.decide import decide
from apet.hf.masks import build_causal, continue_index, remap, remap_keys
from apet.hf.packing import pack, take
from apet.hf.stage import Stage
from apet.hf.state import Call, Encoded, Prompt
from apet.hf.text import TextStage
from apet.methods import Method, Stage2

__all__ = ["LayerStage"]

Hook = Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], tuple[tuple[Any, ...], dict[str, Any]] | None]


class LayerStage(Stage):
    """Hooks of the decoder layers from ``stage2.layer`` on.

    In prefill the first of them selects and shortens the hidden states, and all of them get rotary
    embeddings, masks and positions of the shorter sequence. Rotary positions stay those of the kept tokens.
    In decode they only pick the columns of the mask.
    """

    def __init__(self, method: Method, stage2: Stage2, text: TextStage, config: Any) -> None:
        super().__init__(method, text.lease)
        self.stage2 = stage2
        self.text = text
        self.config = config

    def hook(self, number: int) -> Hook:
        """Make the pre-hook of one layer."""

        def before(
            module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
        ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
            record = record_of(kwargs.get("past_key_values"))
            if record is not None:
                if record.second is None:
                    return None
                return args, self._decode(number, args, kwargs, record)
            call = self.text.current()
            if call is None or call.prompt is None or call.encoded is None:
                return None
            hidden, rest = (args[0], args[1:]) if args else (kwargs["hidden_states"], ())
            if number == self.stage2.layer:
                hidden = self._select(hidden, call, call.encoded, call.prompt)
            if call.prompt.second is None:
                return None
            kwargs = self._shorten(hidden, kwargs, call.prompt, call.prompt.second)
            if args:
                return (hidden, *rest), kwargs
            return (), {**kwargs, "hidden_states": hidden}

        return before

    def _select(self, hidden: Tensor, call: Call, encoded: Encoded, prompt: Prompt) -> Tensor:
        """Select among the tokens that stage 1 kept, once per image; merge and gather in every copy of it.

        Args:
            hidden: ``(B, n1, D)`` hidden states.
            call: The running call.
            encoded: Stage 1's decisions.
            prompt: Gets ``second`` and ``stages``.

        Returns:
            ``(B, n2, D)``, or ``hidden`` if nothing is dropped.
        """
        device = hidden.device  # with a device map, not that of the embeddings
        slots = [slot.to(device) for slot in prompt.slots]
        copies: dict[int, list[int]] = {}
        for place, placed in enumerate(call.placed):
            copies.setdefault(placed.image, []).append(place)
        images = list(copies)
        leads = [copies[image][0] for image in images]
        groups = decide(
            self.method,
            [hidden[call.placed[lead].row, slots[lead]] for lead in leads],
            [resolve_keep(self.stage2.keep, encoded.lengths[image]) for image in images],
        )
        if not groups:
            return hidden
        keep = prompt.valid.to(device, copy=True)
        for group in groups:
            members = [images[member] for member in group.members]
            for number in range(call.copies):
                places = [copies[image][number] for image in members]
                rows = torch.tensor([[call.placed[place].row] for place in places], device=device)
                columns = torch.stack([slots[place] for place in places])
                kept = columns.gather(1, group.selection.indices)
                keep[rows, columns] = False
                keep[rows, kept] = True
                tokens = group.selection.apply(hidden[rows, columns], dim=1, merge=self.method.merge)
                if self.method.merge:
                    hidden = hidden.index_put((rows, kept), tokens)
                if number == 0:
                    for slot, image in enumerate(members):
                        candidates = _candidates(encoded, image, device)
                        prompt.stages[image] = group.stage(slot, candidates, tokens[slot])
        prompt.second = pack(keep).to(prompt.index.device)
        prompt.full_second = bool((prompt.second >= 0).all())
        return take(hidden, prompt.second, 1)

    def _shorten(
        self, hidden: Tensor, kwargs: dict[str, Any], prompt: Prompt, index: Tensor
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

        once("position_embeddings", lambda pair: tuple(take(part, index, part.dim() - 2) for part in pair))
        once("position_ids", lambda ids: ids[..., : index.shape[1]])
        mask = kwargs.get("attention_mask")
        if isinstance(mask, Tensor):
            once("attention_mask", lambda old: remap(old, index))
        elif mask is not None or not prompt.full_second:
            if prompt.built is None:
                cache, keys = kwargs.get("past_key_values"), index.shape[1]
                if cache is not None:
                    keys = cache.get_mask_sizes(keys, self.stage2.layer)[0]
                prompt.built = build_causal(hidden, index >= 0, 0, keys, self.config)
            kwargs["attention_mask"] = prompt.built
        return kwargs

    def _decode(
        self,
        number: int,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        record: CacheRecord,
    ) -> dict[str, Any]:
        """Fit the mask to the columns that this layer holds, on a compressed cache."""
        mask, cache = kwargs.get("attention_mask"), kwargs["past_key_values"]
        if mask is None and record.full_second:
            return kwargs
        hidden = args[0] if args else kwargs["hidden_states"]
        if torch.compiler.is_compiling():
            return {**kwargs, "attention_mask": self._columns(number, hidden, mask, cache, record)}
        if record.memo is None or record.memo[0] is not mask:
            record.memo = (mask, self._columns(number, hidden, mask, cache, record))
        return {**kwargs, "attention_mask": record.memo[1]}

    def _columns(self, number: int, hidden: Tensor, mask: Any, cache: Any, record: CacheRecord) -> Any:
        """The mask of a step, over the columns that the layers behind stage 2 hold."""
        second = record.first if record.second is None else record.second
        queries, first = hidden.shape[1], record.first.shape[1]
        if not isinstance(mask, Tensor):
            past = int(cache.get_query_offset(number))
            valid = torch.nn.functional.pad(second >= 0, (0, past + queries - second.shape[1]), value=True)
            keys = cache.get_mask_sizes(queries, number)[0]
            return build_causal(hidden, valid, past, keys, self.config)
        width = mask.shape[-1]
        if mask.dim() == 4 and is_static(cache):
            return remap_keys(mask, continue_index(second, width, width, first))
        held = first + cache.get_query_offset(number) - second.shape[1] + queries
        if mask.dim() == 4 and width != held:
            raise ApETError(
                "forward",
                f"stage 2 with a mask of {width} columns where the cache holds {held}",
                "generation within the sliding window, or a method without stage 2",
            )
        return remap_keys(mask, continue_index(second, width - first + second.shape[1], width, first))


def _candidates(encoded: Encoded, image: int, device: torch.device) -> Tensor:
    """``(C,)`` the tokens of an image that stage 1 kept, counted in the original N."""
    first = encoded.stages[image]
    if first is None:
        return torch.arange(encoded.lengths[image], device=device)
    return first.indices.to(device)
