"""How long a prompt and its answer may be together."""

from __future__ import annotations

from typing import Any

from apet.core.errors import ApETError
from apet.core.words import counted


def context_of(config: Any) -> int | None:
    """Most tokens of a prompt and its answer that a model was made for; None where it does not tell."""
    most = getattr(config.get_text_config(decoder=True), "max_position_embeddings", None)
    return most if isinstance(most, int) else None


def check_context(context: int | None, prompt: int, answer: int, operation: str) -> None:
    """Refuses a prompt that a model, of whose `context_of` this is, was not made for.

    Kept tokens have the positions that they had in the whole prompt, so all of it has to fit.
    """
    if context is not None and prompt + answer > context:
        got = f"a prompt of {counted(prompt, 'token')} and {answer:,} for the answer"
        raise ApETError(operation, got, f"at most {context:,} together, the model's context")
