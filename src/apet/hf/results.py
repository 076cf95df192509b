"""What was decided about one image, tile or frame, for callers to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from apet.core import Segment, Selection
from apet.hf.clock import Clock
from apet.hf.grid import Grid
from apet.methods import Method

Schedule = tuple[tuple[int, int], ...]
"""Visual tokens by layer: ``((0, 96), (4, 32))`` is 96 in layers 0 to 3, and 32 from layer 4 on."""


@dataclass(frozen=True)
class StageSelection:
    """The selection of one stage, for one image. All tensors are on the model's device.

    Attributes:
        indices: ``(K,)`` long, ascending: the kept tokens, counted in the image's original N.
        candidates: ``(C,)`` long, ascending: the tokens that the stage chose from, counted in the original N
            (all N in stage 1, what stage 1 kept in stage 2).
        assignment: ``(C,)`` long: the kept slot (0..K-1) that each candidate went to.
        errors: ``(C,)`` float32: approximation error of each candidate, or what ``measure`` says.
        basis: ``(M,)`` long: the basis tokens, counted in the original N, in the order they were chosen.
        tokens: ``(K, d)``, detached: the kept tokens as they went on, merged or not.
        mix: ``(K, C)`` float32, or None; see `apet.Selection`.
        measure: What the errors are.
        earlier: The selections inside the text model before this one, where a method has several there; it
            then speaks of all of them together, its errors and basis being those of the first.
    """

    indices: Tensor
    candidates: Tensor
    assignment: Tensor
    errors: Tensor
    basis: Tensor
    tokens: Tensor
    clock: Clock = field(repr=False)
    mix: Tensor | None = field(default=None, repr=False)
    share: int = field(default=1, repr=False)
    counting: tuple[Clock, int] | None = field(default=None, repr=False)
    measure: str = field(default="approximation error", repr=False)
    earlier: tuple[StageSelection, ...] = field(default=(), repr=False)

    def __repr__(self) -> str:
        return f"StageSelection({len(self.indices)} of {len(self.candidates)} tokens)"

    @property
    def seconds(self) -> float:
        """Time spent selecting: this image's share of the batch it was selected in.

        With it goes a share of the time that it took to find how many tokens each image of the call keeps.
        """
        counting = 0.0 if self.counting is None else self.counting[0].seconds / self.counting[1]
        before = self.earlier[-1].seconds if self.earlier else 0.0
        return before + counting + self.clock.seconds / self.share

    def then(self, later: StageSelection) -> StageSelection:
        """This selection and one among what it kept, as one: errors and basis are this one's."""
        return replace(
            later,
            candidates=self.candidates,
            assignment=later.assignment[self.assignment],
            mix=_mixed(self, later),
            errors=self.errors,
            basis=self.basis[torch.isin(self.basis, later.indices)],
            earlier=(*self.earlier, self),
        )

    @property
    def selection(self) -> Selection:
        """The core's decision over the C candidates, to ``apply`` to other tensors of them."""
        return Selection(
            indices=torch.searchsorted(self.candidates, self.indices),
            assignment=self.assignment,
            errors=self.errors,
            basis=torch.searchsorted(self.candidates, self.basis),
            mix=self.mix,
        )


def _mixed(first: StageSelection, later: StageSelection) -> Tensor | None:
    """The weights of two selections one behind the other; None where both take plain means."""
    if first.mix is None and later.mix is None:
        return None
    return later.selection.weights() @ first.selection.weights()


@dataclass(frozen=True)
class ImageResult:
    """What became of one image, or of one tile or frame where these have a budget of their own.

    Attributes:
        row: Row of the batch that the caller passed (beams and returned sequences count as one row).
        tokens: N, the visual tokens before compression.
        stage1: The selection of stage 1, or None if it kept everything.
        stage2: The selection of stage 2, or None if there was none or it kept everything.
        modality: ``"image"`` or ``"video"``.
        image: Number of the image or video among those of the call.
        part: Number of the tile or frame in it; 0 where it is whole.
        rows: ``(N,)`` long, on the CPU: its feature rows in the call of the feature method.
        grids: Where the feature rows of the whole image or video lie on the picture. Empty if the family does
            not tell.
    """

    row: int
    tokens: int
    stage1: StageSelection | None
    stage2: StageSelection | None
    modality: str = "image"
    image: int = 0
    part: int = 0
    rows: Tensor | None = field(default=None, repr=False)
    grids: tuple[Grid, ...] = field(default=(), repr=False)

    @property
    def segment(self) -> Segment:
        """The image, tile or frame, as a callable budget is told it."""
        return Segment(self.modality, self.image, self.part, self.tokens, rows=self.rows)

    @property
    def tokens_stage1(self) -> int:
        """Visual tokens that entered the text model."""
        return self.tokens if self.stage1 is None else int(self.stage1.indices.shape[0])

    @property
    def tokens_stage2(self) -> int:
        """Visual tokens that the last layer saw."""
        return self.tokens_stage1 if self.stage2 is None else int(self.stage2.indices.shape[0])

    @property
    def selection(self) -> Selection:
        """The core's decision over the image's N tokens, both stages together.

        Its indices are the tokens kept to the end and its assignment says which of them each of the N went
        to. Errors and basis are those of the first stage that dropped tokens. An image that kept everything
        has the decision to keep everything, with errors of zero and no basis, on the CPU.
        """
        first = self.stage1 or self.stage2
        if first is None:
            everything = torch.arange(self.tokens)
            none = everything.new_empty(0)
            return Selection(everything, everything, torch.zeros(self.tokens), none)
        if self.stage1 is None or self.stage2 is None:
            return Selection(first.indices, first.assignment, first.errors, first.basis, first.mix)
        assignment = self.stage2.assignment[first.assignment]
        mix = _mixed(first, self.stage2)
        return Selection(self.stage2.indices, assignment, first.errors, first.basis, mix)

    @property
    def indices(self) -> Tensor:
        """``(K,)`` long, ascending: the tokens kept to the end, counted in the original N."""
        return self.selection.indices

    @property
    def errors(self) -> Tensor:
        """``(N,)`` float32: approximation error of every token; see `selection`."""
        return self.selection.errors

    @property
    def seconds(self) -> float:
        """Time spent selecting, in both stages."""
        return sum(stage.seconds for stage in (self.stage1, self.stage2) if stage is not None)


def schedule_of(images: Sequence[ImageResult], method: Method) -> Schedule:
    """The visual tokens that each decoder layer saw of these images, by first layer."""
    schedule = [(0, sum(image.tokens_stage1 for image in images))]
    for stage in method.later[:-1]:
        kept = sum(min(method.behind(stage, image.tokens), image.tokens_stage1) for image in images)
        schedule.append((stage.layer, kept))
    if method.later:
        schedule.append((method.later[-1].layer, sum(image.tokens_stage2 for image in images)))
    return tuple(schedule)
