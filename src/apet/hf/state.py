"""What is running: a generation, a forward pass with images, a call of the vision side.

Each is held once, in a context variable that `running` sets and sets back. So it ends with the call that
opened it, whatever ends that call; an inner call of this or another model leaves the outer one as it was; and
threads that share a model never see each other's.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import CodeType
from typing import Any, TypeVar

from torch import Tensor, nn

from apet.core.segment import Segment
from apet.hf.cache.record import Lease
from apet.hf.grid import Grid
from apet.hf.prompt_state import Around, Placed, Prompt
from apet.hf.results import StageSelection


@dataclass(frozen=True)
class Encoded:
    """Stage 1's decisions on what one call of a feature method encoded.

    Attributes:
        lease: The compression that decided.
        modality: ``"image"`` or ``"video"``.
        total: Feature rows of the call, those in no segment included.
        segments: What has a budget of its own, in the order of the features.
        selections: That of each, or None where everything is kept.
        grids: Where the feature rows lie on the pictures, by image; empty if the family does not tell.
    """

    lease: Lease
    modality: str
    total: int
    segments: tuple[Segment, ...]
    selections: tuple[StageSelection | None, ...]
    grids: tuple[tuple[Grid, ...], ...] = ()

    def grids_of(self, segment: Segment) -> tuple[Grid, ...]:
        """Where the rows of a segment's image lie on the picture."""
        return self.grids[segment.image] if self.grids else ()


@dataclass
class Generation:
    """State of a running ``generate``.

    Attributes:
        lease: The compression that the call belongs to.
        rows: Rows that the caller passed, or None if that is not known.
        ids: The new ids among the caller's ``input_ids``, or None if that is not known.
        real: Which of them are no padding; None for all.
        encoded: Decisions on what ``generate`` encoded before the prefill, by modality.
        encodes: Whether it may still encode images itself: not behind the first forward pass.
        chunk: Number of the running chunk of a chunked prefill.
    """

    lease: Lease
    rows: int | None
    ids: Tensor | None = None
    real: Tensor | None = None
    chunk: int = 0
    encoded: dict[str, Encoded] = field(default_factory=dict)
    encodes: bool = True


@dataclass
class Encoding:
    """State of a running call of a feature method.

    Attributes:
        lease: The compression that the call belongs to.
        modality: What is encoded.
        arguments: What the feature method was called with, by name.
        around: The prompts that the features belong to, or None if these are not known.
        apart: Whether nobody waits for the features who would drop placeholders: they stay whole then, and
            the projector's input is kept for a forward pass that may be given them.
        inputs: What the projector was given, where it is kept.
        segments: Segments that the projector's hook has met so far.
        selections: Theirs.
        shape: Shape of the projector's input, if the projector now works on kept rows only.
        rows: Where the kept rows lie among the flattened tokens.
        received: ``(B, N)``, the attention that every token receives, for a method that asks for it.
        keys: ``(B, N, k)``, their keys, likewise.
        middle: ``(B, N)``, the attention in a layer further down, likewise.
    """

    lease: Lease
    modality: str
    arguments: dict[str, Any] = field(default_factory=dict)
    around: Around | None = None
    apart: bool = False
    inputs: list[Tensor] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    selections: list[StageSelection | None] = field(default_factory=list)
    shape: tuple[int, ...] | None = None
    rows: Tensor | None = None
    received: Tensor | None = None
    keys: Tensor | None = None
    middle: Tensor | None = None


@dataclass
class Call:
    """State of a running forward pass with images or videos.

    Attributes:
        lease: The compression that the call belongs to.
        placeholders: ``(B, L)`` bool on the CPU by modality, which tokens stand for a visual token.
        real: ``(B, L)`` bool on the CPU, which tokens of this turn are no padding.
        samples: As in `Prompt`.
        pixels: The call's pixels by modality, None where it brings features.
        encoded: Stage 1's decisions by modality, known at the latest when the text model is called.
        ids: ``(B, L)`` the ids of its tokens, None where it brings embeddings.
        segments: All segments of the call.
        selections: Stage 1's of each, or None where everything is kept.
        placed: The segments at their places.
        copies: How many rows of the batch stand for one row of the caller.
        arrived: Calls of the text model that have come and not begun.
        entered: Whether the text model has begun.
        prompt: Set by the text model's hook.
    """

    lease: Lease
    placeholders: dict[str, Tensor]
    real: Tensor
    samples: Tensor | None = None
    pixels: dict[str, Any] = field(default_factory=dict)
    encoded: dict[str, Encoded] = field(default_factory=dict)
    ids: Tensor | None = None
    segments: list[Segment] = field(default_factory=list)
    selections: list[StageSelection | None] = field(default_factory=list)
    placed: list[Placed] = field(default_factory=list)
    copies: int = 1
    arrived: int = 0
    entered: bool = False
    prompt: Prompt | None = None

    @property
    def ready(self) -> bool:
        """Whether all that the text model will see is encoded."""
        return not self.entered and self.placeholders.keys() <= self.encoded.keys()


_State = TypeVar("_State")

call_in_progress: ContextVar[Call | None] = ContextVar("apet_call", default=None)
generation_in_progress: ContextVar[Generation | None] = ContextVar("apet_generation", default=None)
encoding_in_progress: ContextVar[Encoding | None] = ContextVar("apet_encoding", default=None)


@contextmanager
def running(variable: ContextVar[_State | None], value: _State | None) -> Iterator[None]:
    """Set a state for a ``with`` block, and what was there before behind it, however the block ends."""
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


ENTRIES: set[CodeType] = set()
"""The code that opens a pass or a generation."""

_MODULE = nn.Module._call_impl.__code__


def called_by_entry() -> bool:
    """Whether what runs was called by a pass or a generation itself, and not by somebody's hook within it.

    A hook runs within the call of some module; a pass calls its feature methods directly.
    """
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code is _MODULE:
            return False
        if frame.f_code in ENTRIES:
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False  # in a thread that took over somebody's context
