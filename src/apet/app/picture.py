"""``apet picture``: what budgets keep of a picture, as a picture."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from apet.app.command import typed
from apet.app.console import load_with_spinner, progress
from apet.app.files import STDOUT, check_picture_path, save_picture
from apet.app.frames import FRAMES, open_frames
from apet.app.given import picture_files
from apet.app.hints import is_drawn, shape_hint
from apet.core.errors import ApETError
from apet.embedded.reference import NAME, is_fetched
from apet.methods import Method


def draw_picture(
    given: Sequence[str],
    methods: Sequence[Method],
    model_name: str | None,
    output: Path,
    question: str,
    *,
    frames: int = FRAMES,
    trust_remote_code: bool = False,
) -> None:
    """Draws one method at several budgets, from one pass of the vision encoder where it allows that.

    Where no model is named, photographs are seen by the real eye, whose encoder knows them, if it is
    installed; the question is for methods that look at it. Nothing is written where something is refused.
    """
    if methods[0].replaces:
        got = f"{type(methods[0]).__name__}, which replaces the picture"
        raise ApETError(typed("method", "picture"), got, "a method that keeps tokens of the picture")
    operation, written = typed("pictures", "picture"), typed("output", "picture")
    check_picture_path(output, written, given)
    with picture_files(given, operation) as paths:
        pictures = open_frames(paths, frames, operation)
    if model_name is None and not all(is_drawn(picture) for picture in pictures) and is_fetched():
        model_name = NAME
        print(f'This does not look drawn: seen by the model "{NAME}".', file=sys.stderr)
    messages = Console(stderr=True)
    model, processor = load_with_spinner(model_name, messages, trust_remote_code=trust_remote_code)
    if len(pictures) == 1 and (hint := shape_hint(pictures[0], processor)):
        print(hint, file=sys.stderr)
    with progress(messages, "Looking"):
        from apet.app.look import look_at, look_inside, panels_of
        from apet.hf.choice.budgets import check_counts
        from apet.pictures import plot

        if methods[0].needs - {"places"}:
            decided = [look_inside(model, processor, pictures, question, method) for method in methods]
        else:
            look = look_at(model, processor, pictures)
            decided = [look.decide(method) for method in methods]
        for method in methods:
            check_counts(method, max(result.tokens for result in decided[0]), typed("keep", "picture"))
        side = 480 if len(methods) == 1 else 360
        panels = panels_of(methods[0], decided[0])
        drawn = plot(pictures, *decided, panels=panels, processor=processor, side=side)
    save_picture(drawn, output, written)
    stream = sys.stderr if output == STDOUT else sys.stdout
    print(
        f"{'standard output' if output == STDOUT else output}: {drawn.width} x {drawn.height} pixels",
        file=stream,
    )
