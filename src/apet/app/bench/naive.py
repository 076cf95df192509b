"""The three steps as one would first write them: `apet.compress` is timed beside and checked against it."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["naive", "naive_bytes"]


def naive_bytes(n: int, d: int, keep: int) -> float:
    """Memory of the merge. Two float32 copies can live at once: products, and an operand broadcast."""
    return 10.0 * (n - keep) * keep * d


def naive(x: Tensor, keep: int, basis_size: int = 10, ridge: float = 1e-5) -> tuple[Tensor, Tensor]:
    """Compares tokens by broadcasting, in an ``(N - K, K, d)`` tensor.

    Args:
        x: One image's tokens ``(N, d)``, float32.
        keep: Tokens to keep.
        basis_size: Basis tokens.
        ridge: Ridge.

    Returns:
        Kept indices ``(K,)`` and merged tokens ``(K, d)``.
    """
    picked = [int(x.norm(dim=1).argmax())]
    nearest = (x - x[picked[0]]).square().sum(1)
    while len(picked) < min(basis_size, keep):
        picked.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, (x - x[picked[-1]]).square().sum(1))
    span = x[picked]
    gram = span @ span.T + ridge * torch.eye(len(picked), device=x.device)
    errors = (x - torch.linalg.solve(gram, span @ x.T).T @ span).norm(dim=1)
    errors[picked] = torch.inf
    kept = errors.argsort(descending=True, stable=True)[:keep].sort().values
    stays = torch.zeros(len(x), dtype=torch.bool, device=x.device).index_fill_(0, kept, True)
    dropped = stays.logical_not().nonzero().flatten()
    merged, counts = x[kept].clone(), torch.ones(keep, 1, device=x.device)
    if len(dropped):
        slots = torch.cosine_similarity(x[dropped, None], x[None, kept], dim=-1).argmax(1)
        merged.index_add_(0, slots, x[dropped])
        counts.index_add_(0, slots, torch.ones(len(dropped), 1, device=x.device))
    return kept, merged / counts
