"""Density peak clustering as a way to pick basis tokens."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from apet.core.blocks import PRODUCT, Tokens, product, row_blocks
from apet.core.precision import wide_dtype

NEIGHBOURS = 5


def density_peaks(tokens: Tokens, count: int) -> Tensor:
    """Picks tokens that are dense themselves and far from anything denser.

    The density of a token is ``exp(-m / mean(m))``, ``m`` being the mean squared distance to its 5 nearest
    other tokens and ``mean(m)`` that of the whole image, so that the unit of the tokens does not matter.
    Its separation is the distance to the nearest token of higher density (of equal density: of lower
    index), and for the densest token the distance to the farthest one. The tokens with the largest density
    times separation are picked, ties by lowest index.

    Every pair of tokens is compared, twice: time grows with N squared. Memory does not: distances exist for
    a block of tokens at a time.

    Args:
        tokens: The visual tokens, ``(B, N, d)``.
        count: Tokens to pick, 1 to N.

    Returns:
        Indices by falling density times separation, ``(B, count)`` int64.
    """
    batch, total, _ = tokens.data.shape
    device = tokens.data.device
    if total == 1:
        return torch.zeros((batch, 1), dtype=torch.int64, device=device)
    order = torch.arange(total, device=device)
    spread = torch.empty((batch, total), dtype=torch.float32, device=device)
    for images, rows, squared in squared_distances(tokens):
        squared.masked_fill_(order[rows, None] == order, torch.inf)
        spread[images, rows] = squared.topk(min(NEIGHBOURS, total - 1), dim=-1, largest=False).values.mean(-1)
    mean = spread.mean(dim=1, keepdim=True)
    density = torch.exp(-spread / torch.where(mean > 0, mean, torch.ones_like(mean)))
    separation = torch.empty_like(spread)
    for images, rows, squared in squared_distances(tokens):
        densities, all_densities = density[images, rows].unsqueeze(2), density[images].unsqueeze(1)
        denser = (all_densities > densities) | ((all_densities == densities) & (order < order[rows, None]))
        nearest = squared.masked_fill(~denser, torch.inf).amin(dim=-1)
        separation[images, rows] = torch.where(nearest.isinf(), squared.amax(dim=-1), nearest).sqrt()
    return (density * separation).sort(dim=1, descending=True, stable=True).indices[:, :count].contiguous()


def squared_distances(tokens: Tokens) -> Iterator[tuple[slice, slice, Tensor]]:
    """Squared distances ``(b, n, N)`` of blocks of tokens to all tokens of their images, float32.

    They come from matrix products, so they are formed in float64 and what is rounding there is set to zero:
    equal tokens are at distance zero.
    """
    batch, total, width = tokens.data.shape
    device = tokens.data.device
    wide = wide_dtype(device)
    noise = 16 * torch.finfo(wide).eps * width**0.5
    for images, rows in row_blocks(batch, total, max(width, total), device, PRODUCT):
        left = tokens.block(images, rows).to(wide)
        left_norm = left.square().sum(-1)
        squared = torch.empty((*left.shape[:2], total), dtype=torch.float32, device=device)
        for _, columns in row_blocks(1, total, width, device, PRODUCT):
            right = tokens.block(images, columns).to(wide)
            norms = left_norm.unsqueeze(2) + right.square().sum(-1).unsqueeze(1)
            exact = torch.sub(norms, product(left, right.mT), alpha=2)
            squared[..., columns] = exact.masked_fill_(exact <= noise * norms, 0.0).to(torch.float32)
        yield images, rows, squared
