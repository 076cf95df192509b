"""Steps 1 and 2 by themselves: how badly a few basis tokens explain every token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from apet.core.basis import pick_basis
from apet.core.blocks import Tokens, read_tokens
from apet.core.check import check_start
from apet.core.options import Options
from apet.core.precision import wide_dtype
from apet.core.residual import approximation_errors


@dataclass(frozen=True, eq=False)
class Measured:
    """What an error bound or a shared budget is worked out from, for a batch of images.

    Attributes:
        errors: Approximation error of each token, ``(B, N)``.
        norms: Euclidean norm of each token, ``(B, N)``, in the same unit.
        basis: Tokens that are kept whatever the budget, ``(B, M)`` int64.
        scale: What errors and norms are multiplied with, ``(B,)``; None where they are in the unit of the
            tokens.
    """

    errors: Tensor
    norms: Tensor
    basis: Tensor
    scale: Tensor | None = None

    def in_given_unit(self) -> tuple[Tensor, Tensor]:
        """Errors and norms in the unit of the tokens, as wide as the device has it."""
        wide = wide_dtype(self.errors.device)
        errors, norms = self.errors.to(wide), self.norms.to(wide)
        if self.scale is None:
            return errors, norms
        scale = self.scale.to(wide).unsqueeze(1)
        return errors / scale, norms / scale

    def unbatch(self) -> list[Measured]:
        """What was found of each image, as batches of one that share memory."""
        scales = [None] * len(self.errors) if self.scale is None else self.scale.split(1)
        parts = zip(self.errors.split(1), self.norms.split(1), self.basis.split(1), scales, strict=True)
        return [Measured(*part) for part in parts]

    @staticmethod
    def batch(parts: Sequence[Measured]) -> Measured | None:
        """Puts images of as many tokens side by side; None where their bases differ in size."""
        if len({part.basis.shape[1] for part in parts}) > 1:
            return None
        if len(parts) == 1:
            return parts[0]
        errors, norms, basis = (
            torch.cat([getattr(part, name) for part in parts]) for name in ("errors", "norms", "basis")
        )
        scale = None
        if any(part.scale is not None for part in parts):
            scale = torch.cat([norms.new_ones(1) if part.scale is None else part.scale for part in parts])
        return Measured(errors, norms, basis, scale)


@dataclass(frozen=True, eq=False)
class Scored:
    """Tokens that have been read, their basis, and their errors in the unit in which they were read."""

    read: Tokens
    basis: Tensor
    errors: Tensor

    @property
    def measured(self) -> Measured:
        """The same without the tokens."""
        return Measured(self.errors, self.read.norms, self.basis, self.read.scale)


@torch.no_grad()
def score(x: Tensor, limit: int, options: Options) -> Scored:
    """Picks basis tokens and finds every token's error, as a part of a call that is `unaffected`.

    Args:
        x: Visual tokens ``(B, N, d)``, checked by `apet.core.check.check_tokens`.
        limit: Most tokens that will be kept: the basis is cut to it.
        options: How.
    """
    batch, total, _ = x.shape
    first = check_start(options.start, (batch, total), x.device, options.basis)
    read = read_tokens(x, options.check_finite, "compress")
    picked = pick_basis(read, min(options.basis_size, limit), options.basis, first, options.seed)
    return Scored(read, picked, approximation_errors(read, picked, options.ridge))
