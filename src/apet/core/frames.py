"""Video: what a frame repeats of the one before it is no error of its own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from apet.core.segment import Segment


def distances(segments: Sequence[Tensor], about: Sequence[Segment], like: Tensor) -> Tensor | None:
    """Distance of each token to the token at the same place one frame earlier.

    Args:
        segments: The tokens ``(n_i, d)``.
        about: What the segments are.
        like: Has the shape ``(S, W)``, dtype and device of the result.

    Returns:
        ``(S, W)``, in the unit of the tokens, infinite where there is no earlier frame; None if there is none
        anywhere.
    """
    apart = None
    for video in _videos(about):
        for (segment, place), (before, place_before) in zip(video[1:], video[:-1], strict=True):
            apart = torch.full_like(like, torch.inf) if apart is None else apart
            apart[segment, place] = _distance(
                segments[segment][place], segments[before][place_before], like.dtype
            )
    return apart


def squared_errors(
    errors: Tensor, apart: Tensor | None, about: Sequence[Segment], unit: Tensor, *, pooled: bool
) -> Tensor:
    """What dropping each token costs, in squared error.

    A dropped token can be told from the basis of its segment, or from the token at the same place one frame
    before: its error is the smaller of the approximation error and the distance to that token. In a still
    video only the first frame has errors.

    Where frames share one bound or one budget, a token stands for the later ones that repeat it: what each
    of them would lose is added to it. Otherwise a video of many equal frames, which has many times the
    squared norm of one, would be allowed to lose as many times more of the only frame that says anything.

    Only neighbours are compared, so a slow change shows in no frame; the basis tokens of every frame stay.

    Args:
        errors: Approximation errors ``(S, W)``, zeros behind a segment's end, in a unit of the segment.
        apart: `distances`, ``(S, W)``.
        about: What the segments are.
        unit: The unit of each segment's errors in that of the tokens, ``(S,)``.
        pooled: Whether all segments of a video share one bound or one budget.

    Returns:
        ``(S, W)``, in squared units of the segments.
    """
    squared = errors.square()
    if apart is None:
        return squared
    for video in _videos(about):
        passed_on: Tensor | None = None
        for (segment, place), (before, _) in zip(reversed(video), reversed(video[:-1]), strict=False):
            away = apart[segment, place] / unit[segment]
            error = squared[segment, place]
            if passed_on is not None:
                error = error + passed_on
            repeats = away < errors[segment, place]
            passed_on = error * repeats if pooled or segment == before else None
            squared[segment, place] = torch.where(repeats, away.square(), error)
        if passed_on is not None:
            squared[video[0]] += passed_on
    return squared


def _videos(about: Sequence[Segment]) -> list[list[tuple[int, slice]]]:
    """The frames of every video, in order: the number of a segment, and the frame's tokens in it."""
    videos: list[list[tuple[int, slice]]] = []
    last: Segment | None = None
    for number, segment in enumerate(about):
        if segment.modality != "video":
            last = None
            continue
        size = segment.tokens // segment.frames
        frames = [(number, slice(at, at + size)) for at in range(0, segment.tokens, size)]
        follows = (
            last is not None
            and (segment.image, segment.part) == (last.image, last.part + 1)
            and size == last.tokens // last.frames
        )
        if follows:
            videos[-1] += frames
        else:
            videos.append(frames)
        last = segment
    return videos


def _distance(a: Tensor, b: Tensor, wide: torch.dtype) -> Tensor:
    """Distances of the rows of two frames ``(n, d)``, formed before they are squared."""
    at_least = torch.promote_types(a.dtype, torch.float32)
    apart: Tensor = torch.linalg.vector_norm(a.to(at_least) - b.to(at_least), dim=-1, dtype=wide)
    return apart
