"""What the methods that pick tokens have in common: checks, reading, and where dropped tokens go."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import KW_ONLY, dataclass

import torch
from torch import Tensor

from apet.core.blocks import Tokens, read_tokens
from apet.core.budget import resolve_keep
from apet.core.check import check_tokens
from apet.core.errors import ApETError
from apet.core.merge import adjacent_kept, nearest_kept
from apet.core.selection import Selection
from apet.methods.base import Method
from apet.methods.checked import check_indices
from apet.methods.context import Context, complete


@dataclass(frozen=True)
class Picked:
    """The tokens that were picked of every image.

    Attributes:
        indices: ``(B, K)`` int64, ascending.
        scores: ``(B, N)`` float32, what they were picked by; None for zeros.
        basis: ``(B, M)`` int64, tokens that the others are compared with, in the order picked; None for none.
        assignment: ``(B, N)`` int64, where each token goes, if the method says that itself.
        mix: ``(B, K, N)`` float32, what kept tokens become in merging, if that is no mean; see
            `apet.Selection`.
    """

    indices: Tensor
    scores: Tensor | None = None
    basis: Tensor | None = None
    assignment: Tensor | None = None
    mix: Tensor | None = None


@dataclass(frozen=True)
class _Picking(Method):
    """What `Picker` and `Informed` share."""

    _: KW_ONLY
    merge: bool = False

    @abstractmethod
    def _picked(self, tokens: Tokens, kept: int, context: Context) -> Picked:
        """What was picked, whoever picks."""

    def select(self, tokens: Tensor, keep: int, context: Context | None = None) -> Selection:
        """Picks the kept tokens; see `Method.select`."""
        name = type(self).__name__
        check_tokens(tokens, name, ndims=(3,))
        total = tokens.shape[1]
        kept = resolve_keep(keep, total, name)
        context = complete(context, self.needs, tokens, name)
        read = read_tokens(tokens, check_finite=True, operation=name)
        picked = self._picked(read, kept, context)
        if self.foreign():
            if not isinstance(picked, Picked):
                raise ApETError(name, f"a choice of type {type(picked).__name__}", "an apet.methods.Picked")
            check_indices(picked.indices, name, (len(tokens), total, kept))
        scores, basis, assignment = picked.scores, picked.basis, picked.assignment
        if assignment is None and self.merge:
            assignment = nearest_kept(read, picked.indices)
        return Selection(
            indices=picked.indices,
            assignment=adjacent_kept(picked.indices, total) if assignment is None else assignment,
            errors=torch.zeros_like(read.norms) if scores is None else scores,
            basis=picked.indices[:, :0] if basis is None else basis,
            mix=picked.mix,
        )


@dataclass(frozen=True)
class Picker(_Picking):
    """A method that picks tokens and, by default, only prunes: kept tokens stay as they are.

    With ``merge=True`` dropped tokens go to the kept token of highest cosine similarity, as in ApET. Pruning
    does not look for it, so it costs no more than the choice itself.
    """

    @abstractmethod
    def pick(self, tokens: Tokens, kept: int) -> Picked:
        """Picks ``kept`` tokens, 1 to N, of every image of ``(B, N, d)``."""

    def _picked(self, tokens: Tokens, kept: int, context: Context) -> Picked:
        return self.pick(tokens, kept)


@dataclass(frozen=True)
class Informed(_Picking):
    """As `Picker`, for a method that is told more than the tokens: it says in `needs` what."""

    @abstractmethod
    def pick(self, tokens: Tokens, kept: int, context: Context) -> Picked:
        """Picks ``kept`` tokens, 1 to N, of every image of ``(B, N, d)``; what it needs is in the context."""

    def _picked(self, tokens: Tokens, kept: int, context: Context) -> Picked:
        return self.pick(tokens, kept, context)


def in_given_unit(tokens: Tokens, values: Tensor) -> Tensor:
    """Lengths ``(B, N)`` that were measured on the tokens as read, in the unit that they were given in."""
    return values if tokens.scale is None else values / tokens.scale.unsqueeze(1)
