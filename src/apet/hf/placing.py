"""Find each image's placeholders in the batch."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from apet.core.errors import ApETError
from apet.hf.state import Placed

__all__ = ["place"]


def place(placeholders: Tensor, lengths: Sequence[int]) -> tuple[list[Placed], int]:
    """Assign placeholders to images, in prompt order.

    ``generate`` may have repeated every row for beams or returned sequences; the images of a row are then
    repeated with it. Lengths decide where an image ends, since placeholders of neighbouring images can touch.

    Args:
        placeholders: ``(B, L)`` bool, which tokens stand for a visual token.
        lengths: Visual tokens of every image, before any repetition.

    Returns:
        The images at their places, row by row, and the number of copies of each of the caller's rows.

    Raises:
        ApETError: If placeholders and images do not match.
    """
    counts: list[int] = placeholders.sum(1).tolist()
    total = sum(lengths)
    copies, rest = divmod(sum(counts), total)
    rows = len(counts)
    mismatch = ApETError(
        "forward",
        f"{sum(counts)} image placeholders in {rows} rows for images of {list(lengths)} visual tokens",
        "as many placeholders in each row as its images have tokens",
    )
    if rest or copies == 0 or rows % copies:
        raise mismatch
    columns = placeholders.nonzero()[:, 1]
    placed: list[Placed] = []
    image = start = 0
    for row in range(0, rows, copies):
        first = image
        filled = 0
        while filled < counts[row] and image < len(lengths):
            filled += lengths[image]
            image += 1
        if any(count != filled for count in counts[row : row + copies]):
            raise mismatch
        for copy in range(copies):
            for number in range(first, image):
                stop = start + lengths[number]
                placed.append(Placed(number, row + copy, columns[start:stop]))
                start = stop
    return placed, copies
