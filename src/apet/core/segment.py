"""What has a budget of its own: an image, a tile, a frame or a video."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Segment:
    """Where some visual tokens come from; a callable budget is told it.

    Attributes:
        modality: ``"image"`` or ``"video"``.
        image: Number of the image, or of the video, among those of the call.
        part: Number of the tile or frame in it; 0 where it is whole.
        tokens: Its visual tokens, N.
        frames: Frames in it, one after another and of equal length. 1 for an image, a tile or a frame, and
            for a video whose frames are not known.
        rows: ``(N,)`` long, on the CPU, ascending: its rows among all feature rows of a model's call; None
            where there is no such call.

    Examples:
        >>> import apet, torch
        >>> keep = lambda segment: 32 if segment.part else segment.tokens // 4
        >>> keep(apet.Segment("image", image=0, part=0, tokens=576)), keep(apet.Segment("image", 0, 1, 576))
        (144, 32)
    """

    modality: str
    image: int
    part: int
    tokens: int
    frames: int = 1
    rows: Tensor | None = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.modality} {self.image}, part {self.part}"
