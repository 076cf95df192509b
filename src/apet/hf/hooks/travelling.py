"""What travels with the output of a feature method: decisions, or what they need."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from apet.core.errors import ApETError
from apet.hf.choice.features import versions
from apet.hf.families import Modality
from apet.hf.state import Encoded
from apet.methods import Attention

_DECIDED, _SOURCE = "apet_encoded", "apet_source"


@dataclass(frozen=True)
class Source:
    """What a call of a feature method leaves with its output, where nobody waits for it who drops tokens.

    Attributes:
        arguments: What it was called with, by name.
        inputs: What the projector was given, where stage 1 comes before it.
        attention: What attention says about the tokens, where a method asks for it.
        base: The base model that encoded.
        state: The features and their versions then, to tell whether they were changed.
    """

    arguments: dict[str, Any]
    inputs: tuple[Tensor, ...]
    attention: Attention | None
    base: weakref.ref[Any]
    state: tuple[tuple[Tensor, int], ...]


def encoded_of(output: Any) -> Encoded | None:
    """The decisions that travel with the output of a feature method; None if it was not compressed."""
    encoded: Encoded | None = getattr(output, _DECIDED, None)
    return encoded


def attach(output: Any, value: Encoded | Source) -> None:
    """Let decisions, or what they need, travel with the output of a feature method."""
    if not isinstance(output, tuple | list):
        setattr(output, _DECIDED if isinstance(value, Encoded) else _SOURCE, value)


def source_of(output: Any) -> Source | None:
    """What a call apart from any pass left with its output; None if there is nothing."""
    source: Source | None = getattr(output, _SOURCE, None)
    return source


def not_ours(modality: Modality) -> ApETError:
    """The error for features that nothing is known of."""
    return ApETError(
        "forward",
        f"{modality.name} features that were not encoded under this compression, or cut into chunks",
        f"{modality.pixels}, or features from {modality.method} after apply, in one piece",
    )


def check_unchanged(output: Any, source: Source, base: Any, modality: Modality) -> None:
    """Refuse features that are not what the projector made of what it was given.

    Raises:
        ApETError: If they were changed, or come from another model: stage 1 before the projector would not
            see that.
    """
    before = [(id(x), version) for x, version in source.state]
    if source.base() is not base or before != [(id(x), version) for x, version in versions(output)]:
        raise ApETError(
            "forward",
            f"{modality.name} features that were changed, or encoded by another model, where stage 1 "
            "comes before the projector",
            "them as they were, or a method with at='projector_output'",
        )
