"""What a method is told where a stage inside the language model begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from apet.core.errors import ApETError
from apet.hf.cache.index_map import take
from apet.hf.choice.context import Told, places_of
from apet.hf.hooks.attention import from_last_token
from apet.hf.prompt.packed import sample_of_slots
from apet.hf.prompt_state import Prompt
from apet.hf.state import Call
from apet.methods import Context, Decoder, Method


def told_inside(
    method: Method,
    hidden: Tensor,
    call: Call,
    prompt: Prompt,
    slots: dict[int, Tensor],
    decoder: Callable[[], tuple[Tensor, Tensor]],
) -> list[Context]:
    """What a method is told about the segments where a stage begins.

    Args:
        method: The method.
        hidden: ``(B, n, D)`` hidden states.
        call: The running call.
        prompt: Its prompt.
        slots: By number of the segment, where its tokens are, counted over all rows.
        decoder: Gives what `Decoder` holds of all slots: states ``(B, n, D)`` and norms ``(B, n)``.
    """
    if not method.needs:
        return []
    device, numbers = hidden.device, list(slots)
    places, prompts, decoders, attention = [], [], [], None
    if "places" in method.needs:
        for number in numbers:
            segment = call.segments[number]
            grids = call.encoded[segment.modality].grids_of(segment)
            originals = originals_of(call, prompt, number)
            among = torch.arange(segment.tokens, device=device) if originals is None else originals.to(device)
            places.append(places_of(segment, grids, among))
    if method.needs & {"prompt", "decoder"}:
        text, samples = _text_slots(call, prompt)
        rows = {placed.number: placed for placed in reversed(call.placed)}
        texts = []
        for number in numbers:
            row = rows[number].row
            is_text = text[row].to(device)
            if samples is not None and call.samples is not None:
                sample = int(call.samples[row, rows[number].columns[0]])
                is_text = is_text & (samples[row].to(device) == sample)
            texts.append((row, is_text))
        if "prompt" in method.needs:
            prompts = [hidden[row][is_text].detach()[None] for row, is_text in texts]
        if "decoder" in method.needs:
            states, norms = decoder()
            order = torch.arange(hidden.shape[1], device=device)
            for (row, is_text), where in zip(texts, slots.values(), strict=True):
                behind = is_text & (order > where[-1] - row * hidden.shape[1])
                visual = states.flatten(0, 1)[where][None], norms.flatten()[where][None]
                decoders.append(Decoder(*visual, states[row][behind][None], norms[row][behind][None]))
    if "attention" in method.needs:
        attention = from_last_token(prompt, device)
    return Told(places, prompts, attention, decoders).contexts(method, list(slots.values()))


def keys_of(cache: Any, layer: int, held: int, count: int) -> Tensor:
    """The L1 norms of the keys of this turn's tokens in a layer, ``(B, n)``.

    Args:
        cache: The KV cache.
        layer: The layer, which has just run.
        held: Columns of earlier turns that it holds.
        count: Tokens of this turn.
    """
    layers = getattr(cache, "layers", ())
    keys = getattr(layers[layer], "keys", None) if layer < len(layers) else None
    if not isinstance(keys, Tensor) or keys.dim() != 4 or keys.shape[2] < held + count:
        got = "no KV cache" if cache is None else f"a cache without plain keys of layer {layer}"
        raise ApETError("forward", f"a method that reads keys with {got}", "use_cache=True and a plain cache")
    return keys[:, :, held : held + count].detach().to(torch.float32).abs().sum(dim=(1, 3))


def _text_slots(call: Call, prompt: Prompt) -> tuple[Tensor, Tensor | None]:
    """``(B, n)`` which slots are text; and of packed samples the number of each slot's."""
    columns = take(prompt.index, prompt.later[-1].index, 1) if prompt.later else prompt.index
    visual = torch.stack(list(call.placeholders.values())).any(dim=0)
    text = prompt.valid & ~take(visual.to(columns.device), columns, 1).to(prompt.valid.device)
    if prompt.samples is None:
        return text, None
    return text, sample_of_slots(prompt.columns_left, prompt.samples, columns.shape[1])


def originals_of(call: Call, prompt: Prompt, number: int) -> Tensor | None:
    """The numbers of a segment's tokens that are left, among its N; None where all are."""
    earlier = prompt.later_selections.get(number)
    last = earlier[-1] if earlier else call.selections[number]
    return None if last is None else last.indices
