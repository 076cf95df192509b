"""Find every unit's placeholders in the batch."""

from __future__ import annotations

from torch import Tensor

from apet.core.errors import ApETError
from apet.hf.state import Encoded, Placed

__all__ = ["mismatch", "outside_a_prompt", "place"]


def outside_a_prompt(asked: str) -> ApETError:
    """The error for features whose prompt is not known.

    Args:
        asked: What needs it.
    """
    return ApETError(
        "forward",
        f"{asked} for features that are encoded apart from their prompt",
        "pixels in a call of the model with input_ids, or another budget",
    )


def mismatch(modality: str, counts: list[int], total: int, units: int) -> ApETError:
    """The error for placeholders that do not fit the features.

    Args:
        modality: What is encoded.
        counts: Placeholders in each row.
        total: Visual tokens.
        units: Images, tiles or frames.
    """
    return ApETError(
        "forward",
        f"{sum(counts)} {modality} placeholders in {len(counts)} rows for {total} visual tokens "
        f"(of {units} images, tiles or frames)",
        "as many placeholders in each row as its images have tokens",
    )


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
    wrong = mismatch(encoded.modality, counts, encoded.total, len(sizes))
    if rest or copies == 0 or rows % copies:
        raise wrong
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
            raise wrong
        for copy in range(copies):
            columns = where[column : column + count]
            for number in range(begin, unit):
                own = (encoded.units[number].rows - feature).to(columns.device)
                placed.append(Placed(first + number, row + copy, columns[own]))
            column += count
        feature += count
    return placed, copies
