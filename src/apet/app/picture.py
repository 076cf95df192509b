"""``apet picture``: what budgets keep of a picture, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from apet.app.console import load_with_spinner, progress
from apet.app.files import check_picture_path, save_picture
from apet.app.frames import FRAMES, open_frames
from apet.app.options import parse_method

__all__ = ["draw_picture"]


def draw_picture(
    paths: Sequence[Path],
    keeps: list[int | float],
    method: str,
    model_name: str | None,
    output: Path,
    *,
    frames: int = FRAMES,
    trust_remote_code: bool = False,
) -> None:
    """Draws several budgets side by side, from one pass of the vision encoder.

    Args:
        paths: A picture, or what `apet.app.frames.open_frames` reads as a video.
        keeps: Budgets.
        method: Name in `apet.methods.METHODS`.
        model_name: Model id or folder; the embedded model if None.
        output: The file to write.
        frames: Most frames to take of a video.
        trust_remote_code: Let the model's repository run its own code.

    Raises:
        ApETError: If something in the request is not right; nothing is written then.
    """
    methods = [parse_method(method, keep, "picture --method") for keep in keeps]
    pictures = open_frames(paths, frames)
    check_picture_path(output, "picture --output")
    messages = Console(stderr=True)
    model, processor = load_with_spinner(model_name, messages, trust_remote_code=trust_remote_code)
    with progress(messages, "Looking"):
        from apet.app.look import look_at, panels_of
        from apet.hf.choice.budgets import check_counts
        from apet.pictures import plot

        look = look_at(model, processor, pictures)
        for one in methods:
            check_counts(one, max(len(tokens) for tokens in look.tokens), "picture")
        first, *more = [look.decide(method) for method in methods]
        side = 480 if not more else 360
        panels = panels_of(methods[0], first)
        drawn = plot(pictures, first, *more, panels=panels, processor=processor, side=side)
    save_picture(drawn, output, "picture --output")
    Console().print(Text(f"{output}: {drawn.width} x {drawn.height} pixels"), soft_wrap=True)
