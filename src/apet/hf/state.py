"""State of one call. It lives in context variables, so threads that share a model never see each other's."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from apet.core.segment import Segment
from apet.hf.cache.record import Behind, CacheRecord, Lease
from apet.hf.grid import Grid
from apet.hf.results import StageSelection

__all__ = [
    "Around",
    "Call",
    "Encoded",
    "Encoding",
    "Generation",
    "Placed",
    "Prompt",
    "Unit",
    "call_in_progress",
    "encoding_in_progress",
    "generation_in_progress",
]


@dataclass(frozen=True)
class Around:
    """The prompts that encoded features belong to.

    Attributes:
        placeholders: ``(B, L)`` bool, which tokens stand for a visual token.
        ids: ``(B, L)``, or None where the caller brought embeddings.
    """

    placeholders: Tensor
    ids: Tensor | None

    @property
    def counts(self) -> list[int]:
        """Placeholders in each row."""
        found: list[int] = self.placeholders.sum(1).tolist()
        return found


@dataclass(frozen=True)
class Unit:
    """What has a budget of its own: an image, a tile or a frame.

    Attributes:
        modality: ``"image"`` or ``"video"``.
        image: Number of the image or video in the call of the feature method.
        part: Number of the tile or frame in it; 0 where it is whole.
        rows: ``(N,)`` long, on the CPU, ascending: its rows among all feature rows of the call.
        frames: Frames in it, one after another and of equal length, where that is known; else 1.
    """

    modality: str
    image: int
    part: int
    rows: Tensor
    frames: int = 1

    @property
    def tokens(self) -> int:
        """Visual tokens, N."""
        return self.rows.shape[0]

    @property
    def segment(self) -> Segment:
        """What a budget is told of it."""
        return Segment(self.modality, self.image, self.part, self.tokens, self.frames)


@dataclass(frozen=True)
class Encoded:
    """Stage 1's decisions on what one call of a feature method encoded.

    Attributes:
        lease: The compression that decided.
        modality: ``"image"`` or ``"video"``.
        total: Feature rows of the call, those in no unit included.
        units: The units, in the order of the features.
        stages: The selection of each, or None where everything is kept.
        grids: Where the feature rows lie on the pictures, by image; empty if the family does not tell.
    """

    lease: Lease
    modality: str
    total: int
    units: tuple[Unit, ...]
    stages: tuple[StageSelection | None, ...]
    grids: tuple[tuple[Grid, ...], ...] = ()

    def grids_of(self, unit: Unit) -> tuple[Grid, ...]:
        """Where the rows of a unit's image lie on the picture."""
        return self.grids[unit.image] if self.grids else ()


@dataclass
class Generation:
    """State of a running ``generate``.

    Attributes:
        lease: The compression that the call belongs to.
        rows: Rows that the caller passed, or None if that is not known.
        ids: The new ids among the caller's ``input_ids``, or None if that is not known.
        encoded: Decisions on what ``generate`` encoded before the prefill, by modality.
        chunk: Number of the running chunk of a chunked prefill.
    """

    lease: Lease
    rows: int | None
    ids: Tensor | None = None
    chunk: int = 0
    encoded: dict[str, Encoded] = field(default_factory=dict)


@dataclass
class Encoding:
    """State of a running call of a feature method.

    Attributes:
        lease: The compression that the call belongs to.
        modality: What is encoded.
        sizes: The call's ``image_sizes``, if it has any.
        around: The prompts that the features belong to, or None if these are not known.
        units: Units that the projector's hook has met so far.
        stages: Their selections.
        shape: Shape of the projector's input, if the projector now works on kept rows only.
        rows: Where the kept rows lie among the flattened tokens.
        received: ``(B, N)``, the attention that every token receives, for a method that asks for it.
        keys: ``(B, N, k)``, their keys, likewise.
    """

    lease: Lease
    modality: str
    sizes: Any = None
    around: Around | None = None
    units: list[Unit] = field(default_factory=list)
    stages: list[StageSelection | None] = field(default_factory=list)
    shape: tuple[int, ...] | None = None
    rows: Tensor | None = None
    received: Tensor | None = None
    keys: Tensor | None = None


@dataclass(frozen=True)
class Placed:
    """A unit at its place in the batch.

    Attributes:
        number: Number of the unit in ``Call.units``.
        row: Row of the batch in this forward pass.
        columns: ``(N,)`` the columns of its placeholders.
    """

    number: int
    row: int
    columns: Tensor


@dataclass
class Prompt:
    """The prompt, or a further turn of it, after stage 1, and what stage 2 adds.

    Attributes:
        before: Record of the cache before this forward pass.
        seen: Tokens before this forward pass.
        length: Tokens of this forward pass before compression, ``L``.
        index: ``(B, first)`` index map to the original columns.
        valid: ``(B, first)`` bool, which slots are real tokens; behind a stage inside the text model, ``(B,
            n)``, which of its slots.
        slots: Per placed unit, ``(C,)`` the slots of the tokens that are left, numbered likewise.
        later: The stages inside the text model that dropped something so far, with maps to the slots of
            ``index``.
        record: Record of the cache behind the last of them.
        stages: Their selections, by the unit's number in ``Call.units``; several as one.
        positions: ``(B, first)`` or ``(axes, B, first)``, the rotary positions of the slots, if they are not
            the plain count.
        shift: How far contiguous numbering moved the following positions, ``(B, 1)``, or None; that of
            earlier turns included.
        moved: Inputs of the layers and what they became, so that all layers share one copy.
        built: The mask of the layers behind the last stage where none could be translated.
        attention: ``(B, n)``, the last token's attention to every slot in the layer before the next
            stage, for a method that asks for it.
    """

    before: CacheRecord
    seen: int
    length: int
    index: Tensor
    valid: Tensor
    slots: list[Tensor]
    later: tuple[Behind, ...] = ()
    record: CacheRecord | None = None
    stages: dict[int, StageSelection] = field(default_factory=dict)
    positions: Tensor | None = None
    shift: Tensor | None = None
    moved: list[tuple[Any, Any]] = field(default_factory=list)
    built: Any = None
    attention: Tensor | None = None


@dataclass
class Call:
    """State of a running forward pass with images or videos.

    Attributes:
        lease: The compression that the call belongs to.
        placeholders: ``(B, L)`` bool by modality, which tokens stand for a visual token.
        pixels: The call's pixels by modality, None where it brings features.
        encoded: Stage 1's decisions by modality, known at the latest when the text model is called.
        ids: ``(B, L)`` the ids of its tokens, None where it brings embeddings.
        units: All units of the call.
        stages: Stage 1's selection of each, or None where everything is kept.
        placed: The units at their places.
        copies: How many rows of the batch stand for one row of the caller.
        prompt: Set by the text model's hook.
    """

    lease: Lease
    placeholders: dict[str, Tensor]
    pixels: dict[str, Any] = field(default_factory=dict)
    encoded: dict[str, Encoded] = field(default_factory=dict)
    ids: Tensor | None = None
    units: list[Unit] = field(default_factory=list)
    stages: list[StageSelection | None] = field(default_factory=list)
    placed: list[Placed] = field(default_factory=list)
    copies: int = 1
    prompt: Prompt | None = None


call_in_progress: ContextVar[Call | None] = ContextVar("apet_call", default=None)
generation_in_progress: ContextVar[Generation | None] = ContextVar("apet_generation", default=None)
encoding_in_progress: ContextVar[Encoding | None] = ContextVar("apet_encoding", default=None)
