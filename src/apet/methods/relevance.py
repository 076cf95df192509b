"""How much visual tokens have to do with the text of the prompt."""

from __future__ import annotations

import torch
from torch import Tensor

from apet.core.blocks import product

_LEAST = 1e-6


def relevance(tokens: Tensor, prompt: Tensor) -> Tensor:
    """Mean cosine similarity of every token to the text, ``(B, N)`` float32; 0 of a token of zero norm.

    Args:
        tokens: ``(B, N, d)``.
        prompt: ``(B, T, d)``, text embeddings.
    """
    unit = torch.nn.functional.normalize(tokens.to(torch.float32), dim=-1)
    # The mean of the similarities is the similarity to the mean of the directions.
    text = torch.nn.functional.normalize(prompt.to(torch.float32), dim=-1).mean(dim=1)
    return torch.cat(
        [
            product(directions[None], mean[None, :, None])[..., 0]
            for directions, mean in zip(unit, text, strict=True)
        ]
    )


def stretched(values: Tensor) -> Tensor:
    """Values ``(B, N)`` of each image stretched to 0 to 1, the least a bit above 0; ones if all are equal."""
    low, high = values.amin(dim=1, keepdim=True), values.amax(dim=1, keepdim=True)
    spread = high - low
    scaled = (values - low + _LEAST) / torch.where(spread > 0, spread, torch.inf)
    return torch.where(spread > 0, scaled, torch.ones_like(values))
