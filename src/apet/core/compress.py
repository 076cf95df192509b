"""The method's three steps in one call."""

from __future__ import annotations

import torch
from torch import Tensor

from apet.core.basis import Basis, pick_basis
from apet.core.blocks import read_tokens
from apet.core.budget import resolve_keep
from apet.core.check import (
    check_basis,
    check_basis_size,
    check_flag,
    check_ridge,
    check_seed,
    check_start,
    check_tokens,
)
from apet.core.merge import nearest_kept, top_rows
from apet.core.precision import plain_arithmetic
from apet.core.residual import approximation_errors
from apet.core.selection import Compression, Selection

__all__ = ["compress", "select"]


def compress(
    tokens: Tensor,
    keep: int | float,
    *,
    basis_size: int = 10,
    basis: Basis = "fps",
    start: int | Tensor | None = None,
    seed: int = 0,
    ridge: float = 1e-5,
    merge: bool = True,
    check_finite: bool = True,
) -> Compression:
    """Compresses the visual tokens of an image, or of each image of a batch, by approximation error.

    Three steps (ApET, arXiv 2602.19870): a few basis tokens are picked; every token is approximated by
    them, and the tokens with the largest error are kept beside the basis tokens; every other token is
    averaged into the kept token with the highest cosine similarity. Kept tokens stay in their original
    order.

    The arithmetic is float32 or wider whatever the input's dtype, reads the input in blocks, and needs
    memory of order ``N (K + M)`` beyond the input and the output. The result is deterministic and, on a
    CPU, bit for bit the same for an image alone and in a batch. On other devices it is so up to rounding:
    only a choice between tokens that float32 cannot tell apart can differ.

    Args:
        tokens: Visual tokens, ``(N, d)`` or ``(B, N, d)``, of any float dtype, on any device.
        keep: How many tokens to keep: an int, 1 to N, or a share of N in (0, 1]; see
            `apet.core.resolve_keep`.
        basis_size: Number of basis tokens M. One that is larger than K is cut to K, since basis tokens are
            always kept.
        basis: How basis tokens are picked: ``"fps"`` (farthest point sampling), ``"dpc"`` (density peak
            clustering; time grows with N squared) or ``"random"``.
        start: First token of farthest point sampling: an int, or one per image as an integer tensor
            ``(B,)``. None is the token of largest norm, the one worst approximated before there is a basis
            (ties: the lowest index).
        seed: Seed of the random basis, which has its own generator and depends on the seed and N alone.
        ridge: Added to the diagonal of the basis tokens' Gram matrix, in squared units of the tokens. A
            basis token whose squared norm's rounding is larger than that gets as much as that rounding
            instead.
        merge: Whether dropped tokens are averaged into kept ones. False leaves the kept tokens as they are;
            the assignment is the same.
        check_finite: Whether to refuse NaN and infinite values. On an accelerator this waits for the device
            once. Without the check the result on such values is meaningless, and nothing is raised.

    Returns:
        The decision and the compressed tokens, which alone are differentiable, in the input's dtype.

    Raises:
        ApETError: If an argument is not valid, or a token is not finite. The message names it.
    """
    check_flag("merge", merge, "compress")
    selection = select(
        tokens,
        keep,
        basis_size=basis_size,
        basis=basis,
        start=start,
        seed=seed,
        ridge=ridge,
        check_finite=check_finite,
    )
    return Compression(
        indices=selection.indices,
        assignment=selection.assignment,
        errors=selection.errors,
        basis=selection.basis,
        tokens=selection.apply(tokens, dim=-2, merge=merge),
    )


@torch.no_grad()
def select(
    tokens: Tensor,
    keep: int | float,
    *,
    basis_size: int = 10,
    basis: Basis = "fps",
    start: int | Tensor | None = None,
    seed: int = 0,
    ridge: float = 1e-5,
    check_finite: bool = True,
) -> Selection:
    """Decides as `compress` does, without carrying it out; same arguments, same errors."""
    operation = "compress"
    x = check_tokens(tokens, operation)
    x = x if x.ndim == 3 else x.unsqueeze(0)
    batch, total, _ = x.shape
    kept = resolve_keep(keep, total, operation)
    basis = check_basis(basis, operation)
    count = min(check_basis_size(basis_size, operation), kept)
    first = check_start(start, (batch, total), x.device, basis, operation)
    seed = check_seed(seed, operation)
    ridge = check_ridge(ridge, operation)
    check_flag("check_finite", check_finite, operation)
    with plain_arithmetic(x.device):
        read = read_tokens(x, check_finite, operation)
        picked = pick_basis(read, count, basis, first, seed)
        errors = approximation_errors(read, picked, ridge)
        indices = top_rows(errors, kept, always=picked)
        assignment = nearest_kept(read, indices)
        if read.scale is not None:
            errors = errors / read.scale.unsqueeze(1)
    result = Selection(indices=indices, assignment=assignment, errors=errors, basis=picked)
    return result if tokens.ndim == 3 else result.unbatch()[0]
