"""State of one call. It lives in context variables, so threads that share a model never see each other's."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from apet.hf.cache import Lease
from apet.hf.results import StageSelection

__all__ = [
    "Call",
    "Encoded",
    "Encoding",
    "Generation",
    "Placed",
    "Prompt",
    "call_in_progress",
    "encoding_in_progress",
    "generation_in_progress",
]


@dataclass(frozen=True)
class Encoded:
    """Stage 1's decisions on the images that one call of the feature method encoded, in their order.

    Attributes:
        lease: The compression that decided.
        lengths: Visual tokens of every image.
        stages: Its selection, or None where everything is kept.
    """

    lease: Lease
    lengths: tuple[int, ...]
    stages: tuple[StageSelection | None, ...]


@dataclass
class Generation:
    """State of a running ``generate``.

    Attributes:
        lease: The compression that the call belongs to.
        rows: Rows that the caller passed, or None if that is not known.
        encoded: Decisions on the images that ``generate`` encoded before the prefill.
    """

    lease: Lease
    rows: int | None
    encoded: Encoded | None = None


@dataclass
class Encoding:
    """State of a running call of the feature method.

    Attributes:
        lease: The compression that the call belongs to.
        sizes: The family's size argument, if it was passed.
        lengths: Visual tokens of every image met so far.
        stages: Their selections.
        shape: Shape of the projector's input, if the projector now works on kept rows only.
        rows: Where the kept rows lie among the flattened tokens.
    """

    lease: Lease
    sizes: Any = None
    lengths: list[int] = field(default_factory=list)
    stages: list[StageSelection | None] = field(default_factory=list)
    shape: tuple[int, ...] | None = None
    rows: Tensor | None = None


@dataclass(frozen=True)
class Placed:
    """An image at its place in the batch.

    Attributes:
        image: Number of the image in ``Encoded``.
        row: Row of the batch in this forward pass.
        columns: ``(N,)`` the columns of its placeholders.
    """

    image: int
    row: int
    columns: Tensor


@dataclass
class Prompt:
    """The prompt after stage 1, and what stage 2 adds.

    Attributes:
        length: Tokens before compression, ``L``.
        index: ``(B, first)`` index map to the original columns.
        valid: ``(B, first)`` bool, which slots are real tokens.
        slots: Per placed image, ``(C,)`` the slots of the tokens that stage 1 kept.
        second: ``(B, second)`` index map to the slots of stage 1, or None if stage 2 dropped nothing.
        full_second: Whether ``second`` has no empty slot.
        stages: Stage 2's selection, by the image's number in ``Encoded``.
        positions: ``(B, first)`` the rotary positions of the slots, if they are not the plain count.
        shift: How far contiguous numbering moved the following positions, ``(B, 1)``, or None.
        moved: Inputs of the layers and what they became, so that all layers share one copy.
        built: The mask of the layers behind stage 2 where none could be translated.
    """

    length: int
    index: Tensor
    valid: Tensor
    slots: list[Tensor]
    second: Tensor | None = None
    full_second: bool = True
    stages: dict[int, StageSelection] = field(default_factory=dict)
    positions: Tensor | None = None
    shift: Tensor | None = None
    moved: list[tuple[Any, Any]] = field(default_factory=list)
    built: Any = None


@dataclass
class Call:
    """State of a running forward pass with images.

    Attributes:
        lease: The compression that the call belongs to.
        placeholders: ``(B, L)`` bool, which tokens stand for a visual token.
        encoded: Stage 1's decisions, known at the latest when the text model is called.
        placed: The images at their places.
        copies: How many rows of the batch stand for one row of the caller.
        prompt: Set by the text model's hook.
    """

    lease: Lease
    placeholders: Tensor
    encoded: Encoded | None = None
    placed: list[Placed] = field(default_factory=list)
    copies: int = 1
    prompt: Prompt | None = None


call_in_progress: ContextVar[Call | None] = ContextVar("apet_call", default=None)
generation_in_progress: ContextVar[Generation | None] = ContextVar("apet_generation", default=None)
encoding_in_progress: ContextVar[Encoding | None] = ContextVar("apet_encoding", default=None)
