"""Where visual tokens lie on a picture, for drawings to read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Grid:
    """Visual tokens in rows and columns, row by row from the top left, over a picture or a frame.

    Attributes:
        rows: Tokens from top to bottom.
        columns: Tokens from left to right.
        first: Feature row of the first token, counted over the call of the feature method.
        stride: Feature rows from one row of the grid to the next; more than ``columns`` where something that
            is no token of the grid ends each row (newline tokens). None: ``columns``.
        frame: Number of the frame of a video, or of the group of frames that was encoded as one.
        whole: Whether the grid covers the picture as the caller passed it, resized to whatever shape. False:
            it covers what the image processor made of it, which may be a crop or have padding.
        area: Left, top, right and bottom of what the grid covers, as shares of the picture. Where padding was
            encoded with the picture it reaches beyond 0 and 1.
        title: What tells this grid from the others of the same picture, such as ``"overview"``.
    """

    rows: int
    columns: int
    first: int = 0
    stride: int | None = None
    frame: int = 0
    whole: bool = True
    area: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    title: str = ""

    @property
    def tokens(self) -> int:
        """Tokens of the grid."""
        return self.rows * self.columns

    def place(self, row: int) -> tuple[int, int] | None:
        """Row and column in the grid of a feature row; None if it is not of this grid."""
        down, right = divmod(row - self.first, self.stride or self.columns)
        return (down, right) if 0 <= down < self.rows and right < self.columns else None
