"""The three steps as one would first write them: `apet.compress` is timed beside and checked against them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Alike = Callable[[Tensor, Tensor], Tensor]


def _by_product(x: Tensor, kept: Tensor) -> Tensor:
    return torch.nn.functional.normalize(x, dim=1) @ torch.nn.functional.normalize(kept, dim=1).T


def plain(
    x: Tensor, keep: int, basis_size: int = 10, ridge: float = 1e-5, alike: Alike = _by_product
) -> tuple[Tensor, Tensor]:
    """The method in 25 lines of torch, with a matrix product for the similarities.

    Args:
        x: One image's tokens ``(N, d)``, float32.
        keep: Tokens to keep.
        basis_size: Basis tokens.
        ridge: Ridge.
        alike: Cosine similarities ``(N - K, K)`` of dropped to kept tokens.

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
        slots = alike(x[dropped], x[kept]).argmax(1)
        merged.index_add_(0, slots, x[dropped])
        counts.index_add_(0, slots, torch.ones(len(dropped), 1, device=x.device))
    return kept, merged / counts


def naive(x: Tensor, keep: int, basis_size: int = 10, ridge: float = 1e-5) -> tuple[Tensor, Tensor]:
    """As `plain`, but compares tokens by broadcasting, in an ``(N - K, K, d)`` tensor."""
    return plain(x, keep, basis_size, ridge, _by_broadcasting)


def naive_bytes(n: int, d: int, keep: int) -> float:
    """Memory of the merge. Two float32 copies can live at once: products, and an operand broadcast."""
    return 10.0 * (n - keep) * keep * d


def _by_broadcasting(x: Tensor, kept: Tensor) -> Tensor:
    return torch.cosine_similarity(x[:, None], kept[None], dim=-1)
