"""What a model does per token and per picture: `text_of` and `vision_of` read it off its own code."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Layer:
    """One decoder layer.

    Attributes:
        weights: Its weights.
        per_token: Operations for a token of text, but for attention.
        per_visual: Operations for a visual token, but for attention.
        per_pair: Operations for a token that another sees.
        held: Numbers in the KV cache for a token.
        state: Numbers in the cache that do not depend on the length.
        window: Most tokens that one sees; None for all.
    """

    weights: int
    per_token: float
    per_visual: float
    per_pair: float
    held: int
    state: int
    window: int | None

    def pairs(self, length: int) -> float:
        """Pairs of tokens in a prompt of which one sees the other; causal attention needs half of all."""
        if self.window is None or length <= self.window:
            return length * length / 2
        return self.window * (length - self.window / 2)

    def seen(self, length: float) -> float:
        """Tokens that stay in the KV cache."""
        return length if self.window is None else min(length, self.window)


@dataclass(frozen=True)
class Text:
    """The language model.

    Attributes:
        layers: Its decoder layers.
        per_token: Operations for every token outside of them.
        head: Weights of the output.
        weights: All weights, embeddings included.
        width: Hidden size.
        context: Most tokens of a prompt and its answer; None where the configuration does not tell.
    """

    layers: tuple[Layer, ...]
    per_token: float
    head: int
    weights: int
    width: int
    context: int | None


@dataclass(frozen=True)
class Vision:
    """The vision side, for one picture.

    Attributes:
        parts: Visual tokens of every part (image, tile or frame) that has a budget of its own.
        others: Tokens in no part, which always stay: newlines.
        flops: Operations, but for those of an early projector.
        per_token: Operations of an early projector on one of its tokens; 0 if it does not run on kept tokens.
        weights: Weights of the encoder and the projector.
        out: Width of the tokens that ApET compares.
    """

    parts: tuple[int, ...]
    others: int
    flops: float
    per_token: float
    weights: int
    out: int

    @property
    def tokens(self) -> int:
        """Visual tokens of the picture."""
        return sum(self.parts) + self.others
