"""Decisions: which tokens stay, and where the others go."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from apet.core.blocks import take_rows
from apet.core.errors import ApETError
from apet.core.merge import merge_rows, mix_rows
from apet.core.precision import unaffected


@dataclass(frozen=True, eq=False)
class Selection:
    """One decision about the N tokens of an image, or of each image of a batch (then with a leading ``B``).

    Attributes:
        indices: The kept tokens, ``(.., K)`` int64, ascending.
        assignment: The kept slot, 0 to K-1, that each token goes to, ``(.., N)`` int64. A kept token goes
            to its own. Methods that only prune may send the others to the kept token nearest in raster order.
        errors: What the method scores each token by, ``(.., N)`` float32: the approximation error, in the
            unit of the tokens, or the score that the method's own text names (a norm, an attention weight).
            Zeros for a method that has no score per token.
        basis: Basis tokens in the order picked, ``(.., M)`` int64. M is 0 for a method that has none.
        mix: What each kept token becomes in merging, as weights of all tokens, ``(.., K, N)`` float32, where
            that is no plain mean of the tokens assigned to it; None where it is.

    Examples:
        The same tokens of another tensor, here their places in a picture of 24 x 24 patches:

        >>> import apet, torch
        >>> selection = apet.compress(torch.randn(576, 64), keep=64)
        >>> places = torch.cartesian_prod(torch.arange(24), torch.arange(24))
        >>> selection.apply(places, merge=False).shape
        torch.Size([64, 2])
    """

    indices: Tensor
    assignment: Tensor
    errors: Tensor
    basis: Tensor
    mix: Tensor | None = None

    @property
    def num_tokens(self) -> int:
        """Tokens before: N."""
        return int(self.assignment.shape[-1])

    @property
    def num_kept(self) -> int:
        """Tokens after: K."""
        return int(self.indices.shape[-1])

    @property
    def batched(self) -> bool:
        """Whether this is a batch of decisions."""
        return self.indices.ndim == 2

    @unaffected
    def apply(self, x: Tensor, dim: int = -2, merge: bool = True, batch_dim: int = 0) -> Tensor:
        """Carries the decision out on another tensor of the same tokens.

        Args:
            x: Any tensor with the N tokens along ``dim`` (features of another layer, positions, a mask), on
                the device of the decision. For a batch of decisions its images stand along ``batch_dim``.
            dim: Dimension of the tokens.
            merge: True averages each dropped token into the kept token it goes to, summing in float32
                (float64 for float64). False keeps the rows of the kept tokens as they are, and takes any
                dtype.
            batch_dim: Dimension of the images; not looked at for a single decision.

        Returns:
            ``x`` with K in place of N along ``dim``, in its own dtype. Gradients flow through.

        Raises:
            ApETError: If the tensor does not fit the decision, or merging is asked of integers.
        """
        source, target = self._dims(x, dim, batch_dim)
        if merge and not x.is_floating_point():
            raise ApETError("apply", f"merge=True on {x.dtype}", "a float tensor, or merge=False")
        rows = x.movedim(source, target)
        rows = rows if self.batched else rows.unsqueeze(0)
        lead, rest = rows.shape[:2], rows.shape[2:]
        indices = self.indices if self.batched else self.indices.unsqueeze(0)
        if merge and self.mix is not None:
            flat = mix_rows(rows.reshape(*lead, math.prod(rest)), self.mix.reshape(-1, *self.mix.shape[-2:]))
            out = flat.reshape(lead[0], self.num_kept, *rest)
        elif merge:
            assignment = self.assignment if self.batched else self.assignment.unsqueeze(0)
            flat = merge_rows(rows.reshape(*lead, math.prod(rest)), assignment, self.num_kept)
            out = flat.reshape(lead[0], self.num_kept, *rest)
        else:
            out = take_rows(rows, indices)
        return (out if self.batched else out.squeeze(0)).movedim(target, source)

    def weights(self) -> Tensor:
        """What each kept token becomes in merging, as weights of all tokens, ``(.., K, N)`` float32."""
        if self.mix is not None:
            return self.mix
        slots = torch.arange(self.num_kept, device=self.indices.device)
        members = (self.assignment.unsqueeze(-2) == slots.unsqueeze(-1)).to(torch.float32)
        return members / members.sum(dim=-1, keepdim=True)

    def unbatch(self) -> list[Self]:
        """Splits a batch into decisions of one image, sharing memory; a single decision gives itself."""
        if not self.batched:
            return [self]
        found = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        parts: list[dict[str, Any]] = [
            {name: None if value is None else value[image] for name, value in found.items()}
            for image in range(len(self.indices))
        ]
        return [type(self)(**part) for part in parts]

    def _dims(self, x: Tensor, dim: int, batch_dim: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Checks the fit; returns the dimensions to move and where to."""
        want = f"a tensor with {self.num_tokens} tokens along dim={dim}"
        if not isinstance(x, torch.Tensor):
            raise ApETError("apply", f"{type(x).__name__}", want)
        shape = f"shape {tuple(x.shape)}"
        if not -x.ndim <= dim < x.ndim or x.shape[dim] != self.num_tokens:
            raise ApETError("apply", shape, want)
        if x.device != self.indices.device:
            raise ApETError("apply", f"a tensor on {x.device}", f"one on {self.indices.device}")
        if not self.batched:
            return (dim,), (0,)
        images = len(self.indices)
        fits = -x.ndim <= batch_dim < x.ndim and (batch_dim - dim) % x.ndim and x.shape[batch_dim] == images
        if not fits:
            raise ApETError("apply", shape, f"{want} and {images} images along batch_dim={batch_dim}")
        return (batch_dim, dim), (0, 1)


@dataclass(frozen=True, eq=False)
class Compression(Selection):
    """A decision and the tokens that it left.

    Attributes:
        tokens: The kept tokens, merged or not, ``(.., K, d)`` in the dtype of the input.

    Examples:
        >>> import apet, torch
        >>> found = apet.compress(torch.randn(2, 40, 8), keep=12)
        >>> found.tokens.shape, found.assignment.shape
        (torch.Size([2, 12, 8]), torch.Size([2, 40]))
    """

    tokens: Tensor = dataclasses.field(kw_only=True)
