"""Find every unit's placeholders in the batch."""

from __future__ import annotations

from torch import Tensor

from apet.core.errors import ApETError
from apet.hf.state import Encoded, Placed

__all__ = ["place"]


def place(placeholders: Tensor, encoded: Encoded, first: int) -> tuple[list[Placed], int]:
    """Assign placeholders to units: models fill placeholders with feature rows in order.

    ``generate`` may have repeated every row for beams or returned sequences; the units of a row are then
    repeated with it.

    Args:
        placeholders: ``(B, L)`` bool, which tokens stand for a visual token of this modality.
        encoded: What was encoded, before any repetition.
        first: Number of the first unit in the call.

    Returns:
        The units at their places, row by row, and the number of copies of each of the caller's rows.

    Raises:
        ApETError: If placeholders and features do not match.
    """
    counts: list[int] = placeholders.sum(1).tolist()
    copies, rest = divmod(sum(counts), encoded.total)
    rows = len(counts)
    sizes = [unit.tokens for unit in encoded.units]
    mismatch = ApETError(
        "forward",
        f"{sum(counts)} {encoded.modality} placeholders in {rows} rows for {encoded.total} visual tokens "
        f"(of {len(sizes)} images, tiles or frames)",
        "as many placeholders in each row as its images have tokens",
    )
    if rest or copies == 0 or rows % copies:
        raise mismatch
    where = placeholders.nonzero()[:, 1]
    placed: list[Placed] = []
    unit = feature = column = 0
    for row in range(0, rows, copies):
        count = counts[row]
        begin = unit
        while unit < len(sizes) and int(encoded.units[unit].rows[0]) < feature + count:
            unit += 1
        inside = [int(encoded.units[number].rows[-1]) < feature + count for number in range(begin, unit)]
        if not all(inside) or any(other != count for other in counts[row : row + copies]):
            raise mismatch
        for copy in range(copies):
            columns = where[column : column + count]
            for number in range(begin, unit):
                own = (encoded.units[number].rows - feature).to(columns.device)
                placed.append(Placed(first + number, row + copy, columns[own]))
            column += count
        feature += count
    return placed, copies
