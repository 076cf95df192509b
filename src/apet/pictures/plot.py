"""``apet.plot``: what a compression keeps of a picture, for a notebook or a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from PIL import Image

from apet.core.errors import ApETError
from apet.pictures.decisions import (
    Decision,
    Decisions,
    Picture,
    processed_picture,
    read_decision,
    read_pictures,
)
from apet.pictures.geometry import TokenGrid
from apet.pictures.panels import PANELS
from apet.pictures.sheet import Column, draw_sheet


def plot(
    picture: Picture,
    compression: Decisions,
    *more: Decisions,
    labels: Sequence[str] | None = None,
    panels: Sequence[str] | None = None,
    grid: tuple[int, ...] | None = None,
    processor: Any = None,
    image: int = 0,
    side: int = 480,
) -> Image.Image:
    """Draws what a compression keeps of a picture.

    Up to three panels: ``"kept"``, the picture with dropped patches dimmed; ``"error"``, the approximation
    error of every token with a scale from zero, kept tokens framed and basis tokens dotted; ``"merged"``, one
    colour for each kept token and those that merged into it. Several compressions stand side by side,
    in several rows where they would be too wide to read.

    Tiles are drawn on an overview and on the picture in detail, frames of a video as a contact sheet.

    Args:
        picture: The picture, as a PIL image or ``(height, width, 3)`` uint8 pixels; for a video a sequence of
            them, all frames that were given to the processor. A frame whose ``info["frame"]`` is ``(3, 30)``
            is titled as the third of 30.
        compression: A session, its results (``session.images``) or one of them, or a plain selection.
        *more: Others, on the same picture.
        labels: A title for each compression, beside the count of its tokens.
        panels: Which panels, in order. None: all, without errors where a method computes none, and without
            merging where a session's method does not merge.
        grid: ``(rows, columns)``, or ``(frames, rows, columns)``, of plain selections. Not needed for a
            square of tokens on a square picture, and not taken for results, which know theirs.
        processor: The model's processor. Needed where its image processor cuts or pads the picture
            (LLaVA-1.5) and ``picture`` is not square: the part that the model saw is drawn then.
        image: Number of the image or video among those of the call, where there were several.
        side: Longest side of a panel in pixels.

    Returns:
        An RGB picture: notebooks show it, and ``save`` writes it.

    Raises:
        ApETError: If the tokens cannot be laid over the picture, or an argument is not valid.

    Examples:
        >>> import apet, torch
        >>> from PIL import Image
        >>> found = apet.compress(torch.randn(576, 64), keep=64)
        >>> apet.plot(Image.new("RGB", (336, 336)), found, panels=["kept", "merged"], side=240).mode
        'RGB'
    """
    if isinstance(side, bool) or not isinstance(side, int) or not 64 <= side <= 4096:
        raise ApETError("plot", f"side={side!r}", "an int between 64 and 4096")
    frames, decisions = read(picture, (compression, *more), grid=grid, processor=processor, image=image)
    if labels is not None and len(labels) != len(decisions):
        raise ApETError("plot", f"{len(labels)} labels for {len(decisions)} compressions", "one for each")
    shown = _panels(panels, decisions)
    columns = [
        Column(decision, grid_over(frames, decision, side), label)
        for decision, label in zip(decisions, labels or [""] * len(decisions), strict=True)
    ]
    return draw_sheet(frames, columns, shown)


def read(
    picture: Picture,
    decisions: Sequence[Decisions],
    *,
    grid: tuple[int, ...] | None = None,
    processor: Any = None,
    image: int = 0,
) -> tuple[list[Image.Image], list[Decision]]:
    """The pictures to draw on, and the decisions to draw; arguments and errors of `plot`."""
    frames = read_pictures(picture)
    width, height = frames[0].size
    drawn = [
        read_decision(compression, image=image, video=len(frames) > 1, square=width == height, grid=grid)
        for compression in decisions
    ]
    if width != height and not all(part.whole for compression in drawn for part in compression.grids):
        if processor is None:
            raise ApETError(
                "plot",
                f"a picture of {width} x {height} pixels for a model that may have seen a part of it",
                "processor=, or the picture as the model saw it (square)",
            )
        seen = [processed_picture(frame, processor) for frame in frames]
        for before, after in zip(frames, seen, strict=True):
            after.info |= before.info
        frames = seen
    return frames, drawn


def grid_over(frames: Sequence[Image.Image], decision: Decision, side: int) -> TokenGrid:
    """Lays a decision's tokens over the pictures."""
    grids = decision.grids
    groups = 1 + max(grid.frame for grid in grids)
    if len(frames) > 1 and groups > len(frames):
        raise ApETError(
            "plot", f"{len(frames)} frames for {groups} frames of tokens", "all frames of the video"
        )
    if groups > 1:
        if len(frames) == 1:
            raise ApETError("plot", f"one picture for {groups} frames of tokens", "a sequence of the frames")
        grids = tuple(replace(grid, title=_frame_title(grid.frame, groups, frames)) for grid in grids)
    aspect = frames[0].width / frames[0].height
    return TokenGrid.over(grids, decision.rows, aspect, side)


def _frame_title(group: int, groups: int, frames: Sequence[Image.Image]) -> str:
    """The numbers of a group's frames, in the video that they were taken of where they tell it."""
    first, last = group * len(frames) // groups, (group + 1) * len(frames) // groups - 1
    numbers = [frame.info.get("frame", (number + 1, len(frames))) for number, frame in enumerate(frames)]
    (start, count), (end, _) = numbers[first], numbers[last]
    of = f" of {count}" if count > len(frames) else ""
    if first == last:
        return f"frame {start}{of}"
    return f"frames {start} {'and' if last == first + 1 else 'to'} {end}{of}"


def _panels(panels: Sequence[str] | None, decisions: Sequence[Decision]) -> list[str]:
    if panels is None:
        hidden = set() if any(decision.errors.any() for decision in decisions) else {"error"}
        hidden |= set() if any(decision.merged for decision in decisions) else {"merged"}
        return [name for name in PANELS if name not in hidden]
    unknown = [name for name in panels if name not in PANELS]
    if unknown or not panels or isinstance(panels, str):
        raise ApETError("plot", f"panels={panels!r}", "some of " + ", ".join(map(repr, PANELS)))
    return list(panels)
