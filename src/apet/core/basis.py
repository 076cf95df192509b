"""Basis tokens: a few tokens that span what an image repeats (step 1 of the method)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from apet.core.blocks import Tokens, sent
from apet.core.dpc import density_peaks

Basis = Literal["fps", "dpc", "random"]
BASES: tuple[Basis, ...] = ("fps", "dpc", "random")


def pick_basis(tokens: Tokens, count: int, basis: Basis, start: Tensor | None, seed: int) -> Tensor:
    """Picks the basis of every image.

    Args:
        tokens: The visual tokens, ``(B, N, d)``.
        count: Basis tokens per image, 1 to N.
        basis: ``"fps"``, ``"dpc"`` or ``"random"``.
        start: First token of FPS, ``(B,)`` int64; None for the token of largest norm.
        seed: Seed of the random basis.

    Returns:
        Distinct token indices in the order picked, ``(B, count)`` int64.
    """
    batch, total, _ = tokens.data.shape
    device = tokens.data.device
    if basis == "random":
        return random_rows(batch, total, count, seed, device)
    if basis == "dpc":
        return density_peaks(tokens, count)
    # With no basis yet a token is approximated by zero: the largest norm is the largest error, and it does
    # not depend on the order of the tokens.
    return farthest_points(tokens, count, tokens.norms.argmax(dim=1) if start is None else start)


def farthest_points(tokens: Tokens, count: int, start: Tensor) -> Tensor:
    """Farthest point sampling: each next token is the one farthest from its nearest chosen token.

    Differences are formed before they are squared. So nothing cancels, equal tokens are at distance zero
    exactly, and the distance of two tokens does not depend on where they stand or what else is in the
    batch. A token is never picked twice; ties go to the lowest index.

    Args:
        tokens: The visual tokens, ``(B, N, d)``.
        count: Tokens to pick, 1 to N.
        start: First token of each image, ``(B,)`` int64.

    Returns:
        Indices in the order picked, ``(B, count)`` int64.
    """
    batch, total, width = tokens.data.shape
    device = tokens.data.device
    nearest = torch.full((batch, total), torch.inf, dtype=torch.float32, device=device)
    distance = torch.empty_like(nearest)
    pivot = torch.empty((batch, 1, width), dtype=torch.float32, device=device)
    views = [(at, tokens.view(*at)) for at in tokens.blocks()]
    buffer = tokens.scratch(max(view.numel() for _, view in views))
    blocks = [
        (images, view, pivot[images], buffer[: view.numel()].view(view.shape), distance[images, rows])
        for (images, rows), view in views
    ]
    alone = (tokens.data[0], pivot[0]) if tokens.plain and batch == 1 else None
    picked = [start.unsqueeze(1)]
    nearest.scatter_(1, picked[0], -1.0)
    for _ in range(1, count):
        if alone is None:
            tokens.rows_into(pivot, picked[-1], slice(None))
        else:  # the same with fewer views, which cost as much as the reading
            torch.index_select(alone[0], 0, picked[-1][0], out=alone[1])
        for images, view, pivots, difference, out in blocks:
            if tokens.plain:
                torch.sub(view, pivots, out=difference)
            else:
                tokens.read_into(difference, view, images).sub_(pivots)
            torch.linalg.vector_norm(difference, dim=-1, out=out)
        torch.minimum(nearest, distance, out=nearest)
        picked.append(nearest.argmax(dim=1, keepdim=True))
        nearest.scatter_(1, picked[-1], -1.0)
    return torch.cat(picked, dim=1)


def random_rows(batch: int, total: int, count: int, seed: int, device: torch.device) -> Tensor:
    """Draws ``count`` of ``total`` tokens, every image the same ones, whatever else is in the batch.

    The draw depends on the seed and on ``total`` alone. It comes from a generator of its own on the CPU, so
    it is the same on every device and leaves torch's global random state as it was.

    Returns:
        Distinct indices in the order drawn, ``(batch, count)`` int64.
    """
    generator = torch.Generator(device="cpu").manual_seed(seed)
    order = torch.randperm(total, generator=generator, dtype=torch.int64, device="cpu")[:count]
    return sent(order, device).expand(batch, count).contiguous()
