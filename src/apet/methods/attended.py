"""Methods that decide by attention weights, so that they can be compared with those that need none."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import KW_ONLY, dataclass, replace
from typing import ClassVar, Literal

import torch

from apet.core.blocks import Tokens
from apet.core.errors import ApETError
from apet.methods.context import Attention, Context
from apet.methods.picker import Informed, Picked

Asking = Literal["first", "all", "joined", "last", "raters"]


@dataclass(frozen=True)
class Attended(Informed):
    """A method that needs attention weights, which only eager attention gives out.

    The score of a token, in ``Selection.errors``, is the attention that it receives.

    Attributes:
        reads: Whose attention: that of the vision encoder, or of the text model before each of the stages in
            `later`. The latter depends on the prompt.
        asking: Who attends. In the encoder ``"first"``: the CLS token where there is one, else all tokens on
            average, in the layer of the features. ``"all"``: all tokens on average, there and in layer
            `middle`. ``"joined"``: the first token in the layer behind, all heads as one. In the text model
            ``"last"``: the prompt's last token. ``"raters"``: those tokens of the text behind the images that
            the images point at.
    """

    _: KW_ONLY
    needs: ClassVar[frozenset[str]] = frozenset({"attention"})
    scored: ClassVar[str] = "attention received"
    reads: ClassVar[Literal["vision", "text"]]
    asking: ClassVar[Asking] = "first"

    def __post_init__(self) -> None:
        super().__post_init__()
        name = type(self).__name__
        if self.stage2 is not None:
            raise ApETError(name, f"stage2={self.stage2!r}", "None: it sets its stages itself")

    def middle(self, layers: int) -> int:
        """The number, from 0, of the encoder layer further down, for a method that reads one.

        Args:
            layers: Layers of the encoder.
        """
        raise NotImplementedError

    @property
    def blind(self) -> bool:
        """Whether the decision depends on the image alone: see `Method.blind`."""
        return self.reads == "vision" and super().blind

    @abstractmethod
    def attend(self, tokens: Tokens, kept: int, attention: Attention) -> Picked:
        """Picks ``kept`` tokens, 1 to N, of every image of ``(B, N, d)``."""

    def pick(self, tokens: Tokens, kept: int, context: Context) -> Picked:
        """Picks by the attention in the context."""
        assert context.attention is not None  # asked for in `needs`
        received = context.attention.received.to(torch.float32)
        picked = self.attend(tokens, kept, replace(context.attention, received=received))
        return picked if picked.scores is not None else replace(picked, scores=received)
