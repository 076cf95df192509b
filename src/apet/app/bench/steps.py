"""What `apet.compress` is timed beside and checked against: its steps, as one would first write them, too."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from apet.core import Compression
from apet.core.basis import pick_basis
from apet.core.blocks import read_tokens
from apet.core.merge import merge_rows, nearest_kept, top_rows
from apet.core.residual import approximation_errors
from apet.hf.results import StageSelection
from apet.hf.sessions import Session

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


ROUNDING = 1e-5
"""Relative difference of two errors, or of two cosine similarities, that counts as a tie."""
_ROWS = 2048


def wrong_kept(errors: Tensor, indices: Tensor, expected: Tensor) -> str | None:
    """In words, where two sets of kept tokens ``(K,)`` differ by more than ties; None: nowhere."""
    ours, theirs = (
        torch.zeros(len(errors), dtype=torch.bool, device=errors.device).index_fill_(0, kept, True)
        for kept in (indices, expected)
    )
    differ = ours ^ theirs
    if not bool(differ.any()):
        return None
    # What was kept by one and dropped by the other must lie at one height, that of the last kept token.
    low, high = torch.aminmax(errors[differ])
    if float(high - low) <= ROUNDING * float(high):
        return None
    return f"{int(differ.sum()) // 2} of {len(indices)} kept tokens differ"


def wrong_choice(x: Tensor, result: Compression) -> str | None:
    """In words, which dropped tokens ``(N, d)`` are not merged into the most similar kept one."""
    unit = torch.nn.functional.normalize(x.float(), dim=1)
    kept = unit[result.indices]
    wrong = 0
    for rows in torch.arange(len(x), device=x.device).split(_ROWS):
        alike = unit[rows] @ kept.T
        own_likeness = alike.gather(1, result.assignment[rows, None]).squeeze(1)
        wrong += int((own_likeness < alike.amax(1) - ROUNDING).sum())
    return f"{wrong} tokens are merged into another than the most similar one" if wrong else None


def wrong_means(x: Tensor, result: Compression, bound: float) -> str | None:
    """In words, by how much merged tokens are off the means of what was merged into them."""
    sums = torch.zeros(result.tokens.shape, dtype=torch.float64, device=x.device)
    sums.index_add_(0, result.assignment, x.double())
    means = sums / torch.bincount(result.assignment, minlength=len(sums)).unsqueeze(1)
    gap = (means - result.tokens.double()).abs()
    if bool((gap <= bound + bound * means.abs()).all()):
        return None
    return f"merged tokens differ by up to {float(gap.max()):.3g}"


def other_choice(ours: Session, core: Session) -> str | None:
    """In words, whether the kernels kept other tokens in a model than the core, ties apart."""
    for image, expected in zip(ours.images, core.images, strict=True):
        for mine, other in ((image.stage1, expected.stage1), (image.stage2, expected.stage2)):
            if mine is None or other is None or torch.equal(mine.indices, other.indices):
                continue
            if not torch.equal(mine.candidates, other.candidates) or _tied(mine, other):
                break  # Behind a tie all may differ.
            return "the kernels and the core keep different tokens"
    return None


def _tied(mine: StageSelection, other: StageSelection) -> bool:
    places = {int(token): place for place, token in enumerate(other.candidates)}
    kept = [
        torch.tensor([places[int(token)] for token in stage.indices], device=other.errors.device)
        for stage in (mine, other)
    ]
    return wrong_kept(other.errors, *kept) is None
