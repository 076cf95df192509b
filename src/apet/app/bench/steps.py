"""The method's steps: the core's one by one, and as one would first write them, to check it against."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from apet.core.basis import pick_basis
from apet.core.blocks import read_tokens
from apet.core.merge import merge_rows, nearest_kept, top_rows
from apet.core.residual import approximation_errors

STEPS = ("read", "basis", "errors", "rank", "assign", "merge")
BASIS_SIZE, _RIDGE = 10, 1e-5


def steps(x: Tensor, keep: int) -> dict[str, Callable[[], object]]:
    """The core's steps on tokens ``(B, N, d)`` by their names, each on what those before it found."""
    read = partial(read_tokens, x, True, "bench ops")
    tokens = read()
    pick = partial(pick_basis, tokens, min(BASIS_SIZE, keep), "fps", None, 0)
    basis = pick()
    measure = partial(approximation_errors, tokens, basis, _RIDGE)
    errors = measure()
    rank = partial(top_rows, errors, keep, always=basis)
    kept = rank()
    assign = partial(nearest_kept, tokens, kept)
    merge = partial(merge_rows, x, assign(), keep)
    runs: tuple[Callable[[], object], ...] = (read, pick, measure, rank, assign, merge)
    return dict(zip(STEPS, runs, strict=True))


def _by_product(x: Tensor, kept: Tensor) -> Tensor:
    return torch.nn.functional.normalize(x, dim=1) @ torch.nn.functional.normalize(kept, dim=1).T


def plain(
    x: Tensor, keep: int, alike: Callable[[Tensor, Tensor], Tensor] = _by_product
) -> tuple[Tensor, Tensor]:
    """The method in 25 lines of torch, with a matrix product for the similarities.

    Args:
        x: One image's tokens ``(N, d)``, float32.
        keep: Tokens to keep.
        alike: Cosine similarities ``(N - K, K)`` of dropped to kept tokens.

    Returns:
        Kept indices ``(K,)`` and merged tokens ``(K, d)``.
    """
    picked = [int(x.norm(dim=1).argmax())]
    nearest = (x - x[picked[0]]).square().sum(1)
    while len(picked) < min(BASIS_SIZE, keep):
        picked.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, (x - x[picked[-1]]).square().sum(1))
    span = x[picked]
    gram = span @ span.T + _RIDGE * torch.eye(len(picked), device=x.device)
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


def naive(x: Tensor, keep: int) -> tuple[Tensor, Tensor]:
    """As `plain`, but compares tokens by broadcasting, in an ``(N - K, K, d)`` tensor."""
    return plain(x, keep, lambda x, kept: torch.cosine_similarity(x[:, None], kept[None], dim=-1))


def naive_bytes(n: int, d: int, keep: int) -> float:
    """Memory of the merge. Two float32 copies can live at once: products, and an operand broadcast."""
    return 10.0 * (n - keep) * keep * d
