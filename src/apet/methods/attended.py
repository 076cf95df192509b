"""Methods that decide by attention weights, so that they can be compared with those that need none."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from apet.core.blocks import Tokens, read_tokens
from apet.core.budget import resolve_keep
from apet.core.check import check_tokens
from apet.core.errors import ApETError
from apet.core.merge import adjacent_kept, nearest_kept
from apet.core.selection import Selection
from apet.methods.base import Method
from apet.methods.picker import Picked

__all__ = ["Attended", "Attention"]


@dataclass(frozen=True)
class Attention:
    """What attention says about the tokens of one image, or of each image of a batch.

    Attributes:
        received: ``(.., N)``, the attention weight that each token receives, averaged over the heads.
        keys: ``(.., N, k)``, the tokens' keys averaged over the heads, or None where none were read.
    """

    received: Tensor
    keys: Tensor | None = None


@dataclass(frozen=True)
class Attended(Method):
    """A method that needs attention weights, which only eager attention gives out.

    The score of a token, in ``Selection.errors``, is the attention that it receives.

    Attributes:
        reads: Whose attention: that of the vision encoder, or of the text model before each of the stages in
            `later`.
    """

    _: KW_ONLY
    merge: bool = False
    reads: ClassVar[Literal["vision", "text"]]

    def __post_init__(self) -> None:
        """Checks the fields.

        Raises:
            ApETError: If a field is not valid.
        """
        super().__post_init__()
        name = type(self).__name__
        if self.stage2 is not None:
            raise ApETError(name, f"stage2={self.stage2!r}", "None: it sets its stages itself")

    @abstractmethod
    def pick(self, tokens: Tokens, kept: int, attention: Attention) -> Picked:
        """Picks ``kept`` tokens, 1 to N, of every image of ``(B, N, d)``."""

    def select(self, tokens: Tensor, keep: int, attention: Attention | None = None) -> Selection:
        """Decides which tokens of each image stay.

        Args:
            tokens: As in `Method.select`.
            keep: As in `Method.select`.
            attention: What attention says about them, in batches as the tokens are.

        Returns:
            A batch of decisions.

        Raises:
            ApETError: As in `Method.select`, and if there is no attention, or it does not fit the tokens.
        """
        name = type(self).__name__
        check_tokens(tokens, name, ndims=(3,))
        total = tokens.shape[1]
        kept = resolve_keep(keep, total, name)
        if attention is None or attention.received.shape != tokens.shape[:2]:
            got = "no attention" if attention is None else f"attention of {tuple(attention.received.shape)}"
            raise ApETError(name, got, "the attention weights that a model's eager attention gives out")
        received = attention.received.to(torch.float32)
        read = read_tokens(tokens, check_finite=True, operation=name)
        picked = self.pick(read, kept, Attention(received, attention.keys))
        assignment = picked.assignment
        if assignment is None and self.merge:
            assignment = nearest_kept(read, picked.indices)
        return Selection(
            indices=picked.indices,
            assignment=adjacent_kept(picked.indices, total) if assignment is None else assignment,
            errors=received,
            basis=picked.indices[:, :0] if picked.basis is None else picked.basis,
        )
