"""The parts of a prompt with images: where placeholders stand, and what is left of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from apet.core.segment import Segment
from apet.hf.cache.index_map import take
from apet.hf.cache.record import Behind, CacheRecord
from apet.hf.results import StageSelection


def rows_of(segment: Segment) -> Tensor:
    """``(N,)`` long on the CPU: the feature rows of a segment of a model's call."""
    if segment.rows is None:
        raise ValueError(f"{segment} belongs to no call of a model")
    return segment.rows


@dataclass(frozen=True)
class Around:
    """The prompts that encoded features belong to.

    Attributes:
        placeholders: ``(B, L)`` bool on the CPU, which tokens stand for a visual token.
        ids: ``(B, L)``, or None where the caller brought embeddings.
        samples: ``(B, L)`` long on the CPU, the number of the sample that a token belongs to, where several
            are packed into a row; else None.
        real: ``(B, L)`` bool on the CPU, which tokens are no padding; None for all.
    """

    placeholders: Tensor
    ids: Tensor | None
    samples: Tensor | None = None
    real: Tensor | None = None

    @property
    def counts(self) -> list[int]:
        """Placeholders in each row, or in each sample of each row."""
        if self.samples is None:
            return [int(count) for count in self.placeholders.sum(1)]
        return [
            int((row & (sample == number)).sum())
            for row, sample in zip(self.placeholders, self.samples, strict=True)
            for number in range(int(sample.max()) + 1)
        ]


@dataclass(frozen=True)
class Placed:
    """A segment at its place in the batch.

    Attributes:
        number: Number of the segment in ``Call.segments``.
        row: Row of the batch in this forward pass.
        columns: ``(N,)`` long on the CPU, the columns of its placeholders.
    """

    number: int
    row: int
    columns: Tensor


@dataclass
class Prompt:
    """The prompt, or a further turn of it, after stage 1, and what stage 2 adds.

    What the host knows without a look at the device is kept on the CPU: how many tokens stay is known, only
    which ones is not.

    Attributes:
        before: Record of the cache before this forward pass.
        seen: Tokens before this forward pass.
        length: Tokens of this forward pass before compression, ``L``.
        columns_left: ``(B, L)`` long on the CPU: how many columns are left of each. A segment's are all told
            at its first column, so sums up to any column that is not inside of a segment are right.
        index: ``(B, first)`` index map to the original columns.
        first_full: Whether it has no empty slot.
        valid: ``(B, first)`` bool, which slots are real tokens; behind a stage inside the text model, ``(B,
            n)``, which of its slots.
        masked_slots: ``(B, first)`` bool, which slots are tokens of an image that the caller's mask hides;
            None for none.
        slots: Per placed segment, ``(C,)`` the slots of its tokens that are left, counted over all rows of
            ``valid`` one after another.
        tail: How many of the last tokens may be cropped: behind the last segment that lost some, in every
            row.
        samples: ``(B, L)`` long on the CPU, the number of every column's sample, where several are packed
            into a row; else None.
        lengths: Boundaries between packed samples, as the caller gave them for variable-length attention.
        later: The stages inside the text model that dropped something so far, with maps to the slots of
            ``index``.
        record: Record of the cache behind the last of them.
        later_selections: Their selections, by the segment's number in ``Call.segments``.
        positions: ``(B, first)`` or ``(axes, B, first)``, the rotary positions of the slots, if they are not
            the plain count.
        shift: How far contiguous numbering moved the following positions, ``(B, 1)``, or None; that of
            earlier turns included.
        moved: Inputs of the layers and what they became, so that all layers share one copy.
        built: The mask of the layers behind the last stage where none could be translated.
        raters: ``(B, first)`` bool, the text that the images point at, for a method that asks for it.
        attention: ``(B, n)``, the last token's attention to every slot in the layer before the next
            stage, for a method that asks for it.
    """

    before: CacheRecord
    seen: int
    length: int
    columns_left: Tensor
    index: Tensor
    first_full: bool
    valid: Tensor
    slots: list[Tensor]
    tail: int
    samples: Tensor | None = None
    lengths: dict[str, Tensor] = field(default_factory=dict)
    masked_slots: Tensor | None = None
    later: tuple[Behind, ...] = ()
    record: CacheRecord | None = None
    later_selections: dict[int, tuple[StageSelection, ...]] = field(default_factory=dict)
    positions: Tensor | None = None
    shift: Tensor | None = None
    moved: list[tuple[Any, Any]] = field(default_factory=list)
    built: Any = None
    attention: Tensor | None = None
    raters: Tensor | None = None

    def shown_in(self, index: Tensor) -> Tensor:
        """``(B, n)`` bool: which slots of a map to those of ``index`` are tokens that the caller shows."""
        shown = index >= 0
        return shown if self.masked_slots is None else shown & ~take(self.masked_slots, index, 1)

    @property
    def last_full(self) -> bool:
        """Whether no slot behind the last stage is empty."""
        return bool((self.columns_left.sum(1) == self.valid.shape[1]).all())
