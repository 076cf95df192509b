"""What was decided about one image, for callers to read."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from apet.hf.clock import Clock

__all__ = ["ImageResult", "StageSelection"]


@dataclass(frozen=True)
class StageSelection:
    """The selection of one stage, for one image. All tensors are on the model's device and hold no tokens.

    Attributes:
        indices: ``(K,)`` long, ascending: the kept tokens, counted in the image's original N.
        candidates: ``(C,)`` long, ascending: the tokens that the stage chose from, counted in the original N
            (all N in stage 1, what stage 1 kept in stage 2).
        assignment: ``(C,)`` long: the kept slot (0..K-1) that each candidate went to.
        errors: ``(C,)`` float32: approximation error of each candidate.
        basis: ``(M,)`` long: the basis tokens, counted in the original N, in the order they were chosen.
    """

    indices: Tensor
    candidates: Tensor
    assignment: Tensor
    errors: Tensor
    basis: Tensor
    clock: Clock = field(repr=False)
    share: int = field(default=1, repr=False)

    @property
    def seconds(self) -> float:
        """Time spent selecting: this image's share of the batch it was selected in."""
        return self.clock.seconds / self.share


@dataclass(frozen=True)
class ImageResult:
    """What became of one image's visual tokens.

    Attributes:
        row: Row of the batch that the caller passed (beams and returned sequences count as one row).
        tokens: N, the visual tokens before compression.
        stage1: The selection of stage 1, or None if it kept everything.
        stage2: The selection of stage 2, or None if there was none or it kept everything.
    """

    row: int
    tokens: int
    stage1: StageSelection | None
    stage2: StageSelection | None

    @property
    def tokens_stage1(self) -> int:
        """Visual tokens that entered the text model."""
        return self.tokens if self.stage1 is None else int(self.stage1.indices.shape[0])

    @property
    def tokens_stage2(self) -> int:
        """Visual tokens that the last layer saw."""
        return self.tokens_stage1 if self.stage2 is None else int(self.stage2.indices.shape[0])

    @property
    def indices(self) -> Tensor | None:
        """``(K,)`` long, the tokens kept to the end, counted in the original N; None if all were."""
        last = self.stage2 or self.stage1
        return None if last is None else last.indices

    @property
    def seconds(self) -> float:
        """Time spent selecting, in both stages."""
        return sum(stage.seconds for stage in (self.stage1, self.stage2) if stage is not None)
