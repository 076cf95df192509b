"""Find every segment's placeholders in the batch."""

from __future__ import annotations

from torch import Tensor

from apet.core.errors import ApETError
from apet.hf.prompt_state import Placed, rows_of
from apet.hf.state import Encoded


def outside_a_prompt(asked: str, instead: str = "another budget") -> ApETError:
    """The error for features whose prompt is not known.

    Args:
        asked: What needs it.
        instead: What does without.
    """
    return ApETError(
        "forward",
        f"{asked} for features that are encoded apart from their prompt",
        f"pixels in a call of the model with input_ids, or {instead}",
    )


def mismatch(modality: str, counts: list[int], total: int, segments: int) -> ApETError:
    """The error for placeholders that do not fit the features.

    Args:
        modality: What is encoded.
        counts: Placeholders in each row.
        total: Visual tokens.
        segments: Images, tiles or frames.
    """
    return ApETError(
        "forward",
        f"{sum(counts)} {modality} placeholders in {len(counts)} rows for {total} visual tokens "
        f"(of {segments} images, tiles or frames)",
        "as many placeholders in each row as its images have tokens",
    )


def place(placeholders: Tensor, encoded: Encoded, first: int) -> tuple[list[Placed], int]:
    """Assign placeholders to segments: models fill placeholders with feature rows in order.

    ``generate`` may have repeated every row for beams or returned sequences; the segments of a row are then
    repeated with it.

    Args:
        placeholders: ``(B, L)`` bool on the CPU, which tokens stand for a visual token of this modality.
        encoded: What was encoded, before any repetition.
        first: Number of the first segment in the call.

    Returns:
        The segments at their places, row by row, and the number of copies of each of the caller's rows.

    Raises:
        ApETError: If placeholders and features do not match.
    """
    counts: list[int] = placeholders.sum(1).tolist()
    copies, rest = divmod(sum(counts), encoded.total)
    rows = len(counts)
    segments = [rows_of(segment) for segment in encoded.segments]
    wrong = mismatch(encoded.modality, counts, encoded.total, len(segments))
    if rest or copies == 0 or rows % copies:
        raise wrong
    where = placeholders.nonzero()[:, 1]
    placed: list[Placed] = []
    segment = feature = column = 0
    for row in range(0, rows, copies):
        count = counts[row]
        begin = segment
        while segment < len(segments) and int(segments[segment][0]) < feature + count:
            segment += 1
        inside = [int(segment_rows[-1]) < feature + count for segment_rows in segments[begin:segment]]
        if not all(inside) or any(other != count for other in counts[row : row + copies]):
            raise wrong
        for copy in range(copies):
            columns = where[column : column + count]
            for number in range(begin, segment):
                placed.append(Placed(first + number, row + copy, columns[segments[number] - feature]))
            column += count
        feature += count
    return placed, copies
