"""Many segments of different length in one call."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from apet.core.basis import Basis
from apet.core.budget import resolve_keep
from apet.core.check import check_basis, check_start, check_tokens
from apet.core.compress import compress
from apet.core.errors import ApETError
from apet.core.selection import Compression

__all__ = ["compress_ragged", "group_segments"]

# Segments of a group are copied side by side; more than this at once would only cost memory.
_CPU_BYTES, _OTHER_BYTES = 1 << 22, 1 << 28


def group_segments(segments: Sequence[Tensor], kept: Sequence[int]) -> list[list[int]]:
    """Groups segments that can share a dense batch: those of the same length and the same kept count.

    Args:
        segments: Tensors ``(n_i, d)`` of one width, dtype and device.
        kept: Tokens to keep of each.

    Returns:
        Segment numbers per batch, ascending in each, batches of bounded size.
    """
    groups: dict[tuple[int, int], list[int]] = {}
    for number, (segment, count) in enumerate(zip(segments, kept, strict=True)):
        groups.setdefault((len(segment), count), []).append(number)
    batches = []
    for numbers in groups.values():
        first = segments[numbers[0]]
        limit = _CPU_BYTES if first.device.type == "cpu" else _OTHER_BYTES
        size = max(1, limit // (first.numel() * first.element_size()))
        batches += [numbers[at : at + size] for at in range(0, len(numbers), size)]
    return batches


def compress_ragged(
    segments: Sequence[Tensor],
    keep: int | float | Sequence[int | float],
    *,
    basis_size: int = 10,
    basis: Basis = "fps",
    start: int | Tensor | None = None,
    seed: int = 0,
    ridge: float = 1e-5,
    merge: bool = True,
    check_finite: bool = True,
) -> list[Compression]:
    """Compresses segments (images, tiles or frames) of different length.

    Segments of equal length and budget run as one dense batch, without padding. Each gets what `compress`
    gives it alone.

    Args:
        segments: Visual tokens ``(n_i, d)``, of one width, dtype and device.
        keep: One budget for all, or one per segment.
        basis_size: As in `compress`.
        basis: As in `compress`.
        start: As in `compress`; a tensor has one entry per segment.
        seed: As in `compress`.
        ridge: As in `compress`.
        merge: As in `compress`.
        check_finite: As in `compress`.

    Returns:
        One `Compression` per segment, in order; an empty list for none.

    Raises:
        ApETError: As `compress`, naming the segment, and if segments differ in width, dtype or device.
    """
    if isinstance(segments, torch.Tensor) or not isinstance(segments, Sequence):
        raise ApETError(
            "compress", f"segments of type {type(segments).__name__}", "a list of tensors (n_i, d)"
        )
    if not segments:
        return []
    kept = _budgets(segments, keep)
    for number, segment in enumerate(segments):
        first = segments[0]
        if (segment.shape[1], segment.dtype, segment.device) != (first.shape[1], first.dtype, first.device):
            got = f"segment {number} of width {segment.shape[1]}, {segment.dtype} on {segment.device}"
            raise ApETError(
                "compress", got, f"width {first.shape[1]}, {first.dtype} on {first.device}, as segment 0"
            )
    starts = _starts(segments, start, check_basis(basis, "compress"))
    results: dict[int, Compression] = {}
    for numbers in group_segments(segments, kept):
        tokens = (
            segments[numbers[0]].unsqueeze(0)
            if len(numbers) == 1
            else torch.stack([segments[i] for i in numbers])
        )
        try:
            dense = compress(
                tokens,
                kept[numbers[0]],
                basis_size=basis_size,
                basis=basis,
                start=None if starts is None else starts[numbers],
                seed=seed,
                ridge=ridge,
                merge=merge,
                check_finite=check_finite,
            )
        except ApETError as error:
            where = "segment" if len(numbers) == 1 else "segments"
            raise ApETError(
                error.operation, f"{error.got} ({where} {', '.join(map(str, numbers))})", error.expected
            ) from None
        results.update(zip(numbers, dense.unbatch(), strict=True))
    return [results[number] for number in range(len(segments))]


def _budgets(segments: Sequence[Tensor], keep: int | float | Sequence[int | float]) -> list[int]:
    """Checks every segment and resolves its budget, naming the segment in errors."""
    per_segment = isinstance(keep, Sequence) and not isinstance(keep, str)
    if per_segment and len(keep) != len(segments):  # type: ignore[arg-type]
        raise ApETError("compress", f"{len(keep)} budgets for {len(segments)} segments", "one for each")  # type: ignore[arg-type]
    kept = []
    for number, segment in enumerate(segments):
        own = keep[number] if per_segment else keep  # type: ignore[index]
        try:
            check_tokens(segment, "compress", ndims=(2,))
            kept.append(resolve_keep(own, len(segment)))  # type: ignore[arg-type]
        except ApETError as error:
            raise ApETError(error.operation, f"{error.got} (segment {number})", error.expected) from None
    return kept


def _starts(segments: Sequence[Tensor], start: int | Tensor | None, basis: Basis) -> Tensor | None:
    """Spreads a start over the segments, each to be valid in its own, ``(S,)`` int64."""
    device = segments[0].device
    shortest = min(map(len, segments))
    if not isinstance(start, torch.Tensor):
        return check_start(start, (len(segments), shortest), device, basis, "compress")
    first = check_start(start, (len(segments), max(map(len, segments))), device, basis, "compress")
    lengths = torch.tensor([len(segment) for segment in segments], device=device)
    if first is not None and bool((first >= lengths).any()):
        number = int((first >= lengths).nonzero()[0])
        got = f"start={int(first[number])} for {len(segments[number])} tokens (segment {number})"
        raise ApETError("compress", got, f"an int between 0 and {len(segments[number]) - 1}")
    return first
