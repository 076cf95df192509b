"""Many segments of different length in one call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from apet.core.allocate import allocate
from apet.core.basis import Basis
from apet.core.blocks import sent
from apet.core.budget import Budget, Keep, Sharing
from apet.core.check import check_flag, check_start, check_tokens
from apet.core.compress import select
from apet.core.dispatch import Kernels, kernels_for
from apet.core.errors import ApETError
from apet.core.finite import how_to_read, look_once, reading
from apet.core.grouping import group_segments
from apet.core.measure import Measured, score
from apet.core.options import Options
from apet.core.precision import unaffected
from apet.core.segment import Segment
from apet.core.selection import Compression, Selection


@unaffected
def compress_ragged(
    segments: Sequence[Tensor],
    keep: Keep | Sequence[int | float] | None = None,
    *,
    tolerance: float | None = None,
    min_keep: int | float | None = None,
    max_keep: int | float | None = None,
    budget: Sharing = "each",
    about: Sequence[Segment] | None = None,
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

    With ``budget="shared"`` the segments share one total: that of ``keep`` for each, given to where the
    errors are largest, or under a tolerance the smallest one that keeps the bound over all of them together.
    Every segment keeps its basis (cut to its own ``keep``) or ``min_keep``.

    A frame of a video that repeats the one before costs little under a tolerance and in a shared budget: its
    tokens' errors are at most their distance to the tokens at the same places one frame earlier. Only
    neighbouring frames are compared, so what changes slowly stays by ``min_keep`` and the basis alone.

    Args:
        segments: Visual tokens ``(n_i, d)``, of one width, dtype and device.
        keep: One budget for all (a callable is given each `Segment`), or one per segment.
        tolerance: As in `compress`, for each segment or, shared, for all of them.
        min_keep: As in `compress`, for each segment; also with a shared budget.
        max_keep: As in `compress`, for each segment; also with a shared budget.
        budget: ``"each"`` or ``"shared"``.
        about: What the segments are, for a callable and for video, whose frames stand in order. None: each
            is an image of its own.
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

    Examples:
        >>> import apet, torch
        >>> tiles = [torch.randn(576, 64), torch.randn(144, 64)]
        >>> [tile.num_kept for tile in apet.compress_ragged(tiles, keep=0.25)]
        [144, 36]
        >>> sum(tile.num_kept for tile in apet.compress_ragged(tiles, keep=64, budget="shared"))
        128
    """
    if isinstance(segments, torch.Tensor) or not isinstance(segments, Sequence):
        raise ApETError(
            "compress", f"segments of type {type(segments).__name__}", "a list of tensors (n_i, d)"
        )
    if not segments:
        return []
    about = _about(segments, about)
    for number, segment in enumerate(segments):
        first = segments[0]
        if (segment.shape[1], segment.dtype, segment.device) != (first.shape[1], first.dtype, first.device):
            got = f"segment {number} of width {segment.shape[1]}, {segment.dtype} on {segment.device}"
            raise ApETError(
                "compress", got, f"width {first.shape[1]}, {first.dtype} on {first.device}, as segment 0"
            )
    options = Options(basis_size, basis, start, seed, ridge, check_finite)
    starts = _starts(segments, options)

    def options_of(numbers: list[int]) -> Options:
        return options if starts is None else replace(options, start=starts[numbers])

    def measure(numbers: list[int], tokens: Tensor, limit: int) -> Measured:
        with _naming(numbers):
            return score(tokens, limit, options_of(numbers)).measured

    check_flag("merge", merge, "compress")
    budgets, even_counts = _budgets(about, keep, tolerance, min_keep, max_keep, budget)
    allocation = (
        allocate(budgets[0], segments, about, measure, even_counts) if budgets[0].needs_errors else None
    )
    kept = even_counts if allocation is None else allocation.counts
    count = min(options.basis_size, max(kept))
    kernels = kernels_for(segments[0], len(segments), "compress", basis, count)
    if allocation is not None:
        how = allocation.reading
    else:
        how = look_once(segments, "compress") if check_finite and kernels is None else how_to_read()
    if kernels is not None:
        basis_sizes = [min(count, keeps) for keeps in kept]
        starts = None if starts is None else sent(starts, segments[0].device)
        return _one_launch(
            kernels, segments, kept, basis_sizes, starts, options.ridge, merge, check_finite and how == "look"
        )
    results: dict[int, Compression] = {}
    for numbers in group_segments(segments, kept):
        tokens = (
            segments[numbers[0]].unsqueeze(0)
            if len(numbers) == 1
            else torch.stack([segments[i] for i in numbers])
        )
        with _naming(numbers), reading(how):
            measured = (
                None
                if allocation is None
                else Measured.batch([allocation.measured[number] for number in numbers])
            )
            chosen = select(tokens, kept[numbers[0]], options_of(numbers), measured=measured)
            dense = Compression(**vars(chosen), tokens=chosen.apply(tokens, merge=merge))
        results.update(zip(numbers, dense.unbatch(), strict=True))
    return [results[number] for number in range(len(segments))]


def _one_launch(
    kernels: Kernels,
    segments: Sequence[Tensor],
    kept: list[int],
    counts: list[int],
    starts: Tensor | None,
    ridge: float,
    merge: bool,
    check_finite: bool,
) -> list[Compression]:
    """All segments in one launch per step; tokens that need gradients are merged by the core."""
    with torch.no_grad():
        decided, tokens = kernels.select_ragged(segments, kept, counts, starts, ridge, check_finite, merge)
    selections = [Selection(*selection) for selection in decided]
    if torch.is_grad_enabled():
        tokens = [
            selection.apply(segment, merge=merge) if segment.requires_grad else row
            for selection, segment, row in zip(selections, segments, tokens, strict=True)
        ]
    return [
        Compression(**vars(selection), tokens=row) for selection, row in zip(selections, tokens, strict=True)
    ]


@contextmanager
def _naming(numbers: Sequence[int]) -> Iterator[None]:
    """Adds the segments to errors."""
    try:
        yield
    except ApETError as error:
        where = "segment" if len(numbers) == 1 else "segments"
        got = f"{error.got} ({where} {', '.join(map(str, numbers))})"
        raise ApETError(error.operation, got, error.expected) from None


def _about(segments: Sequence[Tensor], about: Sequence[Segment] | None) -> list[Segment]:
    """Checks every segment; says what they are, or checks what was said."""
    for number, segment in enumerate(segments):
        with _naming([number]):
            check_tokens(segment, "compress", ndims=(2,))
    if about is None:
        return [Segment("image", number, 0, len(segment)) for number, segment in enumerate(segments)]
    if len(about) != len(segments):
        raise ApETError("compress", f"about of {len(about)} for {len(segments)} segments", "one for each")
    for number, (segment, described) in enumerate(zip(segments, about, strict=True)):
        if (
            not isinstance(described, Segment)
            or described.tokens != len(segment)
            or described.frames < 1
            or described.tokens % described.frames
        ):
            expected = f"a Segment of {len(segment)} tokens, in frames of equal length"
            raise ApETError("compress", f"{described!r} (segment {number})", expected)
    return list(about)


def _budgets(
    about: Sequence[Segment], keep: Keep | Sequence[int | float] | None, *rest: Any
) -> tuple[list[Budget], list[int]]:
    """The budget of every segment, and the tokens that its count gives; none under a tolerance."""
    if isinstance(keep, Sequence) and not isinstance(keep, str):
        if len(keep) != len(about):
            raise ApETError("compress", f"{len(keep)} budgets for {len(about)} segments", "one for each")
        plans = []
        for number, wanted in enumerate(keep):
            with _naming([number]):
                plans.append(Budget(wanted, *rest))
    else:
        plans = [Budget(keep, *rest)] * len(about)
    if plans[0].keep is None:
        return plans, []
    return plans, [
        plan.count(segment, f"segment {number}")
        for number, (plan, segment) in enumerate(zip(plans, about, strict=True))
    ]


def _starts(segments: Sequence[Tensor], options: Options) -> Tensor | None:
    """Spreads a start over the segments, each to be valid in its own, ``(S,)`` int64 on the host."""
    start, host = options.start, torch.device("cpu")
    lengths = torch.tensor([len(segment) for segment in segments], device="cpu")
    longest = int(lengths.max() if isinstance(start, torch.Tensor) else lengths.min())
    first = check_start(start, (len(segments), longest), host, options.basis)
    if first is None:
        return None
    beyond = (first >= lengths).nonzero().flatten().tolist()
    if beyond:
        number = beyond[0]
        got = f"start={int(first[number])} for {len(segments[number])} tokens (segment {number})"
        raise ApETError("compress", got, f"an int between 0 and {len(segments[number]) - 1}")
    return first
