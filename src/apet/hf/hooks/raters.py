"""What visual tokens receive from the raters (see `apet.hf.prompt.raters`), noted by a hook on attention."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from apet.hf.cache.index_map import take
from apet.hf.hooks.text import TextHooks


def note_raters(text: TextHooks, layer: int) -> Callable[..., None]:
    """In prefill, keep the mean over heads and raters of their attention to this turn: ``(B, n)``.

    Args:
        text: The hooks of the text model.
        layer: The layer.
    """

    def after(module: nn.Module, args: tuple[Any, ...], output: Sequence[Any]) -> None:
        call = text.current()
        if call is None or call.prompt is None:
            return
        prompt, weights = call.prompt, output[1]
        if weights is None or prompt.raters is None:
            prompt.attention = None
            return
        raters = prompt.raters.to(weights.device)
        if prompt.later:  # text tokens stay, so a rater has a slot behind every stage
            index = prompt.later[-1].index.to(weights.device)
            raters = take(raters, index, 1) & (index >= 0)
        held = prompt.seen - prompt.before.dropped(layer)  # columns of earlier turns
        received = weights[..., held : held + raters.shape[1]].detach().float().mean(dim=1)
        count = raters.sum(dim=1, keepdim=True).clamp(min=1)
        prompt.attention = (received * raters.unsqueeze(2)).sum(dim=1) / count

    return after
