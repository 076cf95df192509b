"""SparseVLM's raters: text tokens that images point at; `apet.hf.hooks.attention` notes their attention."""

from __future__ import annotations

import torch
from torch import Tensor

from apet.hf.cache.index_map import take
from apet.hf.prompt_state import Prompt
from apet.hf.state import Call


@torch.no_grad()
def raters_of(call: Call, prompt: Prompt, embeds: Tensor) -> Tensor:
    """``(B, first)`` bool: which slots are raters.

    They are among the text tokens behind the images. Every visual token deals its attention among these by a
    softmax of inner products; those that get more than the mean are raters. In a row without text behind its
    images the last token is.

    Args:
        call: The running call.
        prompt: Its prompt, before any stage inside the language model.
        embeds: ``(B, first, D)``, what enters the first layer.
    """
    columns, real = prompt.index.to(embeds.device), prompt.valid.to(embeds.device)
    visual = torch.stack(list(call.placeholders.values())).any(dim=0).to(embeds.device)
    images = take(visual, columns, 1) & real
    order = torch.arange(columns.shape[1], device=embeds.device)
    last = torch.where(images, order, -1).amax(dim=1, keepdim=True)
    text = real & ~images & (order > last)
    raters = torch.zeros_like(text)
    for row, (embeds_row, image, words) in enumerate(zip(embeds.float(), images, text, strict=True)):
        if not bool(words.any()) or not bool(image.any()):
            raters[row, torch.where(real[row], order, -1).argmax()] = True
            continue
        points = torch.softmax(embeds_row[image] @ embeds_row[words].mT, dim=1).mean(dim=0)
        above = points > points.mean()
        raters[row, words] = above | ~above.any()  # all alike: all are
    return raters
