"""Merging: where dropped tokens go, and what the kept ones become (step 3 of the method)."""

from __future__ import annotations

import torch
from torch import Tensor

from apet.core.blocks import PRODUCT, Tokens, product, row_blocks
from apet.core.dispatch import kernels_for


def top_rows(scores: Tensor, count: int, always: Tensor | None = None) -> Tensor:
    """Indices of the largest scores, in the tokens' order.

    Args:
        scores: One score per token, ``(B, N)``.
        count: Tokens to keep, 1 to N.
        always: Indices ``(B, M)``, M at most ``count``, that are kept whatever their score.

    Returns:
        Indices ``(B, count)`` int64, ascending; equal scores go to the lowest index.
    """
    if always is not None:
        scores = scores.scatter(1, always, torch.inf)
    ranked = scores.sort(dim=1, descending=True, stable=True).indices
    return ranked[:, :count].sort(dim=1).values


def nearest_kept(tokens: Tokens, indices: Tensor) -> Tensor:
    """For every token the kept slot whose token has the highest cosine similarity to it.

    A kept token goes to its own slot. The similarity to or of a token of zero norm is zero; ties go to the
    lowest slot.

    Args:
        tokens: The visual tokens, ``(B, N, d)``.
        indices: Kept tokens, ``(B, K)`` int64 ascending.

    Returns:
        Slots ``(B, N)`` int64, each in 0..K-1.
    """
    batch, total, width = tokens.data.shape
    kept = indices.shape[1]
    device = tokens.data.device
    slots = torch.arange(kept, device=device).expand(batch, kept)
    assignment = torch.zeros((batch, total), dtype=torch.int64, device=device).scatter_(1, indices, slots)
    if kept in (1, total):
        return assignment
    unit = tokens.rows(indices)
    norm = torch.linalg.vector_norm(unit, dim=-1, keepdim=True)
    unit = unit.div_(torch.where(norm > 0, norm, torch.inf)).mT
    is_kept = torch.zeros((batch, total), dtype=torch.uint8, device=device).scatter_(1, indices, 1)
    dropped = is_kept.argsort(dim=1, stable=True)[:, : total - kept]
    nearest = torch.empty_like(dropped)
    blocks = [(*at, dropped[at]) for at in row_blocks(batch, total - kept, width, device, PRODUCT)]
    buffer = tokens.scratch(max(picked.numel() for _, _, picked in blocks) * width)
    for images, rows, picked in blocks:
        block = tokens.rows_into(buffer[: picked.numel() * width].view(*picked.shape, width), picked, images)
        nearest[images, rows] = product(block, unit[images]).argmax(dim=-1)
    return assignment.scatter_(1, dropped, nearest)


def adjacent_kept(indices: Tensor, total: int) -> Tensor:
    """For every token the kept slot whose token is nearest in the order of the tokens.

    It looks at no token, so it costs next to nothing: the assignment of a method that only prunes.

    Args:
        indices: Kept tokens, ``(B, K)`` int64 ascending.
        total: Tokens, N.

    Returns:
        Slots ``(B, N)`` int64, each in 0..K-1; ties go to the lower slot.
    """
    # Up to the middle between two kept tokens the lower one is nearest.
    middles = (indices[:, 1:] + indices[:, :-1]) // 2
    places = torch.arange(total, device=indices.device).expand(len(indices), total)
    return torch.searchsorted(middles.contiguous(), places.contiguous())


def merge_rows(x: Tensor, assignment: Tensor, kept: int) -> Tensor:
    """Averages the rows that go to the same slot; differentiable in ``x``.

    Sums are float32 (so they can overflow above 1e35), or float64 for float64 input.

    Args:
        x: Rows ``(B, N, w)`` of a float dtype.
        assignment: Slot of every row, ``(B, N)`` int64 in 0..kept-1, no slot empty.
        kept: Number of slots.

    Returns:
        ``(B, kept, w)`` in the dtype of ``x``.
    """
    batch, total, width = x.shape
    # The kernels do not record what a gradient needs.
    kernels = None if torch.is_grad_enabled() and x.requires_grad else kernels_for(x, batch, "apply")
    if kernels is not None:
        return kernels.mean_rows(x, assignment, kept)
    accumulate = torch.promote_types(x.dtype, torch.float32)
    slots = assignment + torch.arange(batch, device=x.device).unsqueeze(1) * kept
    if x.device.type == "cpu" and x.dtype == torch.float32 and x.is_contiguous() and not x.requires_grad:
        return _bags(x.view(-1, width), slots.flatten(), batch * kept).view(batch, kept, width)
    ones = torch.ones(batch * total, dtype=accumulate, device=x.device)
    counts = torch.zeros(batch * kept, dtype=accumulate, device=x.device).index_add_(0, slots.flatten(), ones)
    sums = torch.zeros((batch * kept, width), dtype=accumulate, device=x.device)
    for images, rows in row_blocks(batch, total, width, x.device):
        sums.index_add_(0, slots[images, rows].flatten(), x[images, rows].flatten(0, 1).to(accumulate))
    return sums.div_(counts.unsqueeze(1)).view(batch, kept, width).to(x.dtype)


def mix_rows(x: Tensor, mix: Tensor) -> Tensor:
    """Mixes rows by given weights; differentiable in ``x``.

    Args:
        x: Rows ``(B, N, w)`` of a float dtype.
        mix: Weights ``(B, K, N)`` float32.

    Returns:
        ``(B, K, w)`` in the dtype of ``x``, summed in float32, or float64 for float64.
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    mixed = [
        product(weights[None].to(wide), rows[None].to(wide)) for weights, rows in zip(mix, x, strict=True)
    ]
    return torch.cat(mixed).to(x.dtype)


def _bags(x: Tensor, slots: Tensor, kept: int) -> Tensor:
    """The same sums in the same order, in one pass on all threads: ``(N, w)`` to ``(kept, w)``."""
    counts = torch.bincount(slots, minlength=kept)
    begins = counts.cumsum(0) - counts
    sums = torch.nn.functional.embedding_bag(slots.argsort(stable=True), x, begins, mode="sum")
    return sums.div_(counts.unsqueeze(1))
