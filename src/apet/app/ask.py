"""``apet ask``: one question about one picture or video, compressed, and on request uncompressed as well."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console
from rich.table import Table
from rich.text import Text

from apet.app.answering import (
    Answer,
    check_question,
    generate_answer,
    median_answer,
    question_inputs,
    visual_tokens,
)
from apet.app.console import load_with_spinner, progress
from apet.app.files import check_picture_path, save_picture
from apet.app.frames import open_frames
from apet.core.errors import ApETError
from apet.hf.choice.budgets import check_counts
from apet.hf.families import takes_videos
from apet.methods import METHODS, Attended, Method, Stage2, named

__all__ = ["Request", "answer_request"]


@dataclass(frozen=True)
class Request:
    """What was asked for on the command line, with one of ``keep`` and ``tolerance``.

    ``repeats`` is 0 without ``--compare``.
    """

    picture: Path
    question: str
    model: str | None
    keep: int | float | None
    tolerance: float | None
    stage2: Stage2 | None
    repeats: int
    picture_out: Path | None
    max_new_tokens: int
    method: str = "apet"
    trust_remote_code: bool = False


def answer_request(request: Request, *, as_json: bool) -> None:
    """Answers and prints, as text or as one JSON object.

    Raises:
        ApETError: If something in the request is not right; nothing is printed then.
    """
    check_question(request.question)
    method = named(request.method, request.keep, tolerance=request.tolerance, stage2=request.stage2)
    if method.replaces and request.picture_out is not None:
        raise ApETError(
            "ask --picture", f"--method {request.method}", "a method that keeps tokens of the picture"
        )
    pictures = open_frames([request.picture], operation="ask")
    if request.picture_out is not None:
        check_picture_path(request.picture_out)
    messages = Console(stderr=True)
    model, processor = load_with_spinner(
        request.model, messages, quiet=as_json, trust_remote_code=request.trust_remote_code
    )
    if request.picture_out is not None:
        from apet.app.look import check_drawable

        video = len(pictures) > 1 and takes_videos(model, processor)
        check_drawable(model.config.model_type, "ask --picture", "video" if video else "image")
    if isinstance(method, Attended):  # the uncompressed run, too, so that the two compare
        model.set_attn_implementation("eager")
    inputs = question_inputs(model, processor, pictures, request.question)
    check_counts(method, visual_tokens(model, inputs["input_ids"]), "ask")
    with progress(messages, "Answering"):
        report, overlay = _run(request, method, model, processor, inputs, pictures)
    if overlay is not None and request.picture_out is not None:
        save_picture(overlay, request.picture_out)
        report["picture"] = str(request.picture_out)
    if as_json:
        print(json.dumps(report))
    else:
        _print_text(report, Console())


def _run(
    request: Request, method: Method, model: Any, processor: Any, inputs: Any, pictures: list[Image.Image]
) -> tuple[dict[str, Any], Any]:
    """Runs with and, in a comparison, without compression; returns the report and the overlay."""
    from apet.hf import compressing

    full: list[Answer] = []
    short: list[Answer] = []
    if request.repeats:
        # The first run pays for memory and threads; it is not counted.
        generate_answer(model, processor, inputs, 1)
    for _ in range(max(request.repeats, 1)):
        if request.repeats:
            full.append(generate_answer(model, processor, inputs, request.max_new_tokens))
        with compressing(model, method) as session:
            short.append(generate_answer(model, processor, inputs, request.max_new_tokens))
    answer = median_answer(short)
    report: dict[str, Any] = {
        "answer": answer.text,
        "visual_tokens": session.visual_tokens,
        "kept_tokens": session.kept_stage1,
        "seconds": round(answer.seconds, 4),
        "first_token_seconds": round(answer.first_token_seconds, 4),
        "select_seconds": round(session.seconds, 5),
        "model": request.model or "embedded",
        "method": request.method,
    }
    later = session.method.later
    if later:
        report["stage2"] = {"layer": later[-1].layer, "kept_tokens": session.kept_stage2}
    if full:
        whole = median_answer(full)
        report["uncompressed"] = {
            "answer": whole.text,
            "kept_tokens": session.visual_tokens,
            "seconds": round(whole.seconds, 4),
            "first_token_seconds": round(whole.first_token_seconds, 4),
        }
        report["repeats"] = request.repeats
    overlay = None
    if request.picture_out is not None:
        from apet.app.look import as_frames, panels_of
        from apet.pictures import plot

        results = as_frames(session.images) if len(pictures) > 1 else session.images
        overlay = plot(pictures, results, panels=panels_of(method, results), processor=processor)
    return report, overlay


def _print_text(report: dict[str, Any], console: Console) -> None:
    kept = f"{report['kept_tokens']} of {report['visual_tokens']}"
    if "stage2" in report:
        kept += f", then {report['stage2']['kept_tokens']} from layer {report['stage2']['layer']} on"
    table = Table("", "answer", "visual tokens", "first token", "in all", box=None, header_style="bold")
    whole = report.get("uncompressed")
    if whole:
        tokens = str(report["visual_tokens"])
        table.add_row("uncompressed", Text(whole["answer"]), tokens, *_milliseconds(whole))
    table.add_row(METHODS[report["method"]].__name__, Text(report["answer"]), kept, *_milliseconds(report))
    console.print(table)
    notes = [f"selection {report['select_seconds'] * 1000:.1f} ms"]
    if whole:
        notes.append(f"medians of {report['repeats']} interleaved runs")
        notes.append(
            f"first token {whole['first_token_seconds'] / report['first_token_seconds']:.2f}x as fast"
        )
    console.print("[dim]" + ", ".join(notes) + "[/dim]")
    if "picture" in report:
        console.print(Text(f"what was kept: {report['picture']}", style="dim"))


def _milliseconds(report: dict[str, Any]) -> tuple[str, str]:
    return f"{report['first_token_seconds'] * 1000:.0f} ms", f"{report['seconds'] * 1000:.0f} ms"
