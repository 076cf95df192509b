"""Whether two implementations agree: on everything but choices that float32 cannot tell apart."""

from __future__ import annotations

import torch
from torch import Tensor

from apet.core import Compression
from apet.hf.results import StageSelection
from apet.hf.sessions import Session

ROUNDING = 1e-5
"""Relative difference of two errors, or of two cosine similarities, that counts as a tie."""
_ROWS = 2048


def wrong_kept(errors: Tensor, indices: Tensor, expected: Tensor) -> str | None:
    """In words, where two sets of kept tokens ``(K,)`` differ by more than ties; None: nowhere."""
    ours, theirs = (
        torch.zeros(len(errors), dtype=torch.bool, device=errors.device).index_fill_(0, own, True)
        for own in (indices, expected)
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
        own = alike.gather(1, result.assignment[rows, None]).squeeze(1)
        wrong += int((own < alike.amax(1) - ROUNDING).sum())
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
