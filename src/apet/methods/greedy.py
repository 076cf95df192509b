"""Greedy residual: pick, again and again, the token that all tokens picked so far explain worst."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import torch
from torch import Tensor

from apet.core.basis import farthest_points
from apet.core.blocks import Tokens, product
from apet.core.check import check_int_or_none
from apet.core.merge import top_rows
from apet.core.residual import approximation_errors
from apet.methods.picker import Picked, Picker, in_given_unit

_ROUNDING = 2.0**-17
"""Share of a token's norm below which its residual is nothing but rounding (float32 has a step of 2**-23)."""

_FIRST = 10
"""Basis tokens before the first round, as many as ApET has."""

_RIDGE = 1e-5


@dataclass(frozen=True)
class Greedy(Picker):
    """Pivoted residual: column subset selection on the tokens.

    ApET scores every token once, against a few basis tokens. Here each picked token joins the basis before
    the next one is picked, so that a second copy of an outlier is worth nothing (pivoted Gram-Schmidt, the
    core of SPARE, arXiv 2606.18681, and ResPrune, arXiv 2603.21105, which add the text:
    `apet.methods.SPARE`, `apet.methods.ResPrune`). It reads the tokens K times where ApET
    reads them M times. Dropped tokens are merged as in ApET unless ``merge=False``.

    The first token is the one of largest norm; ties go to the lowest index. A residual that float32 cannot
    tell from rounding counts as zero, and once all are, the rest is picked in raster order. The score of a
    token is its residual to everything kept, in the unit of the tokens, and the basis are the picked tokens
    in the order picked.

    With ``rounds`` several tokens are picked at a time: ten basis tokens by farthest point sampling as in
    ApET, then as many of largest error in each round, which join the basis of the next one. One round picks
    what ApET picks; a few come close to picking one by one, in few passes over the tokens. The score is then
    the error in the last round.

    Attributes:
        rounds: Rounds in which to pick, at least 1; None for one token at a time.
    """

    _: KW_ONLY
    merge: bool = True
    rounds: int | None = None
    published: ClassVar[str] = "the core of SPARE, arXiv 2606.18681, and ResPrune, arXiv 2603.21105"
    departs: ClassVar[str] = "no text, and dropped tokens are merged: see spare and resprune"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._plain("rounds", check_int_or_none)

    def pick(self, tokens: Tokens, kept: int) -> Picked:
        """Picks ``kept`` pivots."""
        if self.rounds is not None:
            return _in_rounds(tokens, kept, self.rounds)
        picked, residuals = pivots(tokens, kept)
        return Picked(
            indices=picked.sort(dim=1).values, scores=in_given_unit(tokens, residuals), basis=picked
        )


def pivots(tokens: Tokens, count: int, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Picks, again and again, the token of largest residual, or of largest residual times weight.

    Args:
        tokens: The tokens.
        count: How many to pick of each image.
        weights: ``(B, N)``, at least 0; None for ones.

    Returns:
        Pivots in the order picked, ``(B, count)``, and what they leave of every token, ``(B, N)``.
    """
    batch = len(tokens.data)
    # Images one by one on a CPU, for the reason given in `row_blocks`.
    step = 1 if tokens.data.device.type == "cpu" else batch
    parts = [_pivots(tokens, slice(at, at + step), count, weights) for at in range(0, batch, step)]
    picked, residuals = (torch.cat(part) for part in zip(*parts, strict=True))
    return picked, residuals


def _pivots(tokens: Tokens, images: slice, count: int, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    """The same of some images.

    What is left is kept as vectors and then measured. As a difference of squared norms, the residual of a
    token near the span would be lost.
    """
    norms = tokens.norms[images]
    residuals = tokens.block(images, slice(None)).clone()
    picked = torch.empty((len(residuals), count), dtype=torch.int64, device=residuals.device)
    length = norms.clone()
    is_picked = torch.zeros_like(norms, dtype=torch.bool)
    for step in range(count):
        ranked = length if weights is None else length * weights[images]
        current = ranked.masked_fill(is_picked, -1.0).argmax(dim=1, keepdim=True)
        picked[:, step] = current[:, 0]
        is_picked.scatter_(1, current, True)
        scale = length.gather(1, current)
        direction = residuals.take_along_dim(current[..., None], dim=1)
        direction = direction / torch.where(scale > 0, scale, torch.inf)[..., None]
        residuals.addcmul_(product(residuals, direction.mT), direction, value=-1)
        torch.linalg.vector_norm(residuals, dim=-1, out=length)
        length.masked_fill_((length <= _ROUNDING * norms) | is_picked, 0.0)
    return picked, length


def _in_rounds(tokens: Tokens, kept: int, rounds: int) -> Picked:
    """Basis tokens, then the tokens of largest error in each round, against everything picked before it."""
    picked = farthest_points(tokens, min(_FIRST, kept), tokens.norms.argmax(dim=1))
    errors = approximation_errors(tokens, picked, _RIDGE)
    for done in range(rounds):
        count = -(-(kept - picked.shape[1]) // (rounds - done))
        if count == 0:
            break
        if done:
            errors = approximation_errors(tokens, picked, _RIDGE)
        joined = top_rows(errors, picked.shape[1] + count, always=picked)
        known = torch.zeros_like(errors, dtype=torch.uint8).scatter_(1, picked, 1)
        new = known.gather(1, joined).argsort(dim=1, stable=True)[:, :count]
        picked = torch.cat((picked, joined.gather(1, new)), dim=1)
    return Picked(picked.sort(dim=1).values, scores=in_given_unit(tokens, errors), basis=picked)
