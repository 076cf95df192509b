"""Largest norm: the control for methods that follow a token's size more than its content."""

from __future__ import annotations

from dataclasses import dataclass

from apet.core.blocks import Tokens
from apet.core.merge import top_rows
from apet.methods.picker import Picked, Picker, in_given_unit


@dataclass(frozen=True)
class Norm(Picker):
    """Tokens of largest Euclidean norm, which is their score; equal ones by lowest index.

    ApET with no basis at all is this: a token that nothing approximates has its norm for an error.
    """

    def pick(self, tokens: Tokens, kept: int) -> Picked:
        """Ranks the tokens by norm."""
        return Picked(top_rows(tokens.norms, kept), scores=in_given_unit(tokens, tokens.norms))
