"""Approximation error: what the basis tokens do not explain (step 2 of the method)."""

from __future__ import annotations

import torch
from torch import Tensor

from apet.core.blocks import RESIDUAL, Tokens, less_product, product
from apet.core.precision import wide_dtype


def approximation_errors(tokens: Tokens, basis: Tensor, ridge: float) -> Tensor:
    """Distance of every token to its ridge approximation by the basis tokens.

    With ``S`` the basis tokens, ``G = S S^T + ridge I`` and ``L L^T = G``, the approximation
    ``X S^T G^-1 S`` is ``(X Q^T) Q`` with ``Q = L^-1 S``. ``Q`` is found in float64 where the device has it,
    the rest in float32. The residual is formed and then measured: as the difference of two squared norms,
    the error of a token that lies near the span would be lost.

    Args:
        tokens: The visual tokens, ``(B, N, d)``.
        basis: Basis indices, ``(B, M)`` int64.
        ridge: Ridge in squared units of the tokens.

    Returns:
        Errors ``(B, N)``, float32, in the scaled unit of ``tokens``.
    """
    device = tokens.data.device
    span = orthonormal_basis(tokens, basis, ridge).to(torch.float32)
    # Rows of zeros change nothing, and a product with 16 columns takes half of the time of one with 10.
    span = torch.nn.functional.pad(span, (0, 0, 0, -span.shape[1] % 16))
    errors = torch.empty(tokens.data.shape[:2], dtype=torch.float32, device=device)
    blocks = [(*at, tokens.view(*at).shape) for at in tokens.blocks(RESIDUAL)]
    buffer = tokens.scratch(max(shape.numel() for _, _, shape in blocks))
    for images, rows, shape in blocks:
        block, spanned = tokens.block(images, rows), span[images]
        residual = less_product(
            block, product(block, spanned.mT), spanned, out=buffer[: shape.numel()].view(shape)
        )
        torch.linalg.vector_norm(residual, dim=-1, out=errors[images, rows])
    return errors


def orthonormal_basis(tokens: Tokens, basis: Tensor, ridge: float) -> Tensor:
    """``L^-1 S`` for the basis tokens ``S``: orthonormal rows but for the ridge.

    A Gram matrix of nearly dependent tokens is not positive definite once rounded. Each token's ridge is
    therefore at least the rounding of its own squared norm, as much as a factorisation needs and too little
    to change an error beyond float32: it moves with the token, so one huge token does not blur its small
    neighbours.

    Returns:
        Rows spanning the basis, ``(B, M, d)``, float64 or what the device has.
    """
    device = tokens.data.device
    wide = wide_dtype(device)
    picked = tokens.rows(basis).to(wide)
    # One image at a time on a CPU, for the reason given in `row_blocks`.
    groups = torch.split(picked, 1 if device.type == "cpu" else len(picked))
    gram = torch.cat([product(group, group.mT) for group in groups])
    squared_norms = gram.diagonal(dim1=-2, dim2=-1)
    if tokens.scale is None:
        ridges = torch.full_like(squared_norms, ridge)
    else:
        # Without float64 the ridge of tiny tokens would be infinite; any huge one explains nothing.
        scaled = (tokens.scale.to(wide).square() * ridge).clamp(max=torch.finfo(wide).max ** 0.5)
        ridges = scaled.unsqueeze(1).expand_as(squared_norms)
    rounding = torch.finfo(wide).eps * (16 * basis.shape[1])
    # A zero token needs a positive pivot as well, even with ridge 0.
    floor = (rounding * squared_norms).clamp(min=torch.finfo(wide).tiny ** 0.5)
    lower, info = torch.linalg.cholesky_ex(_with_diagonal(gram, torch.maximum(ridges, floor)))
    # Elsewhere than on a CPU a look at the outcome would wait for the device.
    if device.type != "cpu" or bool(info.any()):
        sure, _ = torch.linalg.cholesky_ex(_with_diagonal(gram, torch.maximum(ridges, 2.0**20 * floor)))
        lower = torch.where((info == 0)[:, None, None], lower, sure)
    span: Tensor = torch.linalg.solve_triangular(lower, picked, upper=False)
    return span


def _with_diagonal(gram: Tensor, more: Tensor) -> Tensor:
    """The matrices with more on their diagonals."""
    sums = gram.clone()
    sums.diagonal(dim1=-2, dim2=-1).add_(more)
    return sums
