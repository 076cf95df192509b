"""The greedy residual with a word from the prompt: SPARE and ResPrune."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import torch
from torch import Tensor

from apet.core.blocks import Tokens
from apet.core.check import check_weight
from apet.methods.context import Context
from apet.methods.greedy import pivots
from apet.methods.picker import Informed, Picked, in_given_unit
from apet.methods.relevance import relevance, stretched

_RELEVANCE = (
    "the weight here is the mean cosine similarity to the language model's embeddings of the whole prompt, "
    "stretched to 0 to 1"
)


@dataclass(frozen=True)
class _Textual(Informed):
    """Pivoted residual as in `Greedy`, the residual of each token times a weight that the prompt gives it.

    The first token is the one of largest weighted norm. The score of a token is its residual to everything
    kept, in the unit of the tokens, and the basis are the picked tokens in the order picked. It prunes.

    Attributes:
        strength: Power to which the weight is raised; 0 is `Greedy` without merging.
    """

    _: KW_ONLY
    strength: float = 1.0
    needs: ClassVar[frozenset[str]] = frozenset({"prompt"})

    def __post_init__(self) -> None:
        super().__post_init__()
        self._plain("strength", check_weight)

    @abstractmethod
    def weigh(self, relevant: Tensor) -> Tensor:
        """The weight of every token ``(B, N)``, given its relevance, 0 to 1."""

    def pick(self, tokens: Tokens, kept: int, context: Context) -> Picked:
        """Picks ``kept`` pivots."""
        assert context.prompt is not None  # asked for in `needs`
        weights = self.weigh(stretched(relevance(tokens.data, context.prompt))) ** self.strength
        picked, residuals = pivots(tokens, kept, weights)
        return Picked(picked.sort(dim=1).values, scores=in_given_unit(tokens, residuals), basis=picked)


@dataclass(frozen=True)
class ResPrune(_Textual):
    """Residuals times relevance (ResPrune, arXiv 2603.21105).

    Tokens stay that the picked ones explain badly and that have to do with the prompt. The paper's score is
    the squared residual times the relevance to the power alpha, so its alpha is twice `strength`.
    """

    published: ClassVar[str] = "ResPrune, arXiv 2603.21105"
    departs: ClassVar[str] = (
        f"the paper compares with the nouns of the prompt alone and tunes alpha: {_RELEVANCE}"
    )

    def weigh(self, relevant: Tensor) -> Tensor:
        """The relevance."""
        return relevant


@dataclass(frozen=True)
class SPARE(_Textual):
    """Residuals times irrelevance (SPARE, arXiv 2606.18681).

    Its authors find that tokens of low relevance hold the context best.
    """

    published: ClassVar[str] = "SPARE, arXiv 2606.18681"
    departs: ClassVar[str] = (
        f"how the text weighs is told in the abstract alone, and no formula could be read: {_RELEVANCE}"
    )

    def weigh(self, relevant: Tensor) -> Tensor:
        """One minus the relevance, the least a little above 0."""
        return torch.clamp(1 - relevant, min=1e-6)
