"""``apet ask``: one question about one picture or video, compressed, and on request uncompressed as well."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from apet.app.answering import (
    Answer,
    check_question,
    generate_answer,
    kind_of,
    median_of,
    question_inputs,
)
from apet.app.command import typed
from apet.app.console import hint_if_busy, load_with_spinner, output, progress
from apet.app.files import STDOUT, check_picture_path, save_picture
from apet.app.frames import open_frames
from apet.app.given import picture_files
from apet.app.hints import hints_of
from apet.core.errors import ApETError
from apet.core.words import counted
from apet.evaluation.plain import visual_tokens
from apet.hf import Session, compressing
from apet.hf.choice.budgets import check_counts
from apet.methods import Attended, Method


def answer_question(
    picture: str,
    question: str,
    *,
    model_name: str | None,
    method: Method,
    spec: str,
    system: str | None,
    repeats: int,
    picture_out: Path | None,
    max_new_tokens: int,
    trust_remote_code: bool,
    as_json: bool,
) -> None:
    """Answers and prints, as text or as one JSON object; nothing is printed where something is refused.

    ``spec`` is the method as it was written; ``repeats`` is 0 without a comparison.
    """
    check_question(question)
    written = typed("picture_out", "ask")
    if picture_out is not None and method.replaces:
        got = f"--method {spec}, which replaces the picture"
        raise ApETError(written, got, "a method that keeps tokens of the picture")
    if picture_out == STDOUT:
        raise ApETError(written, "-, where the answer goes", "a path ending in .png or .jpg")
    if picture_out is not None:
        check_picture_path(picture_out, written, [picture])
    operation = typed("picture", "ask")
    with picture_files([picture], operation) as paths:
        pictures = open_frames(paths, operation=operation)
    messages = Console(stderr=True)
    model, processor = load_with_spinner(
        model_name, messages, quiet=as_json, trust_remote_code=trust_remote_code
    )
    hint = hints_of(pictures, model, processor, model_name)
    if repeats and not as_json:
        hint_if_busy()
    if picture_out is not None:
        from apet.app.look import check_drawable

        check_drawable(model.config.model_type, written, kind_of(model, processor, pictures))
    if isinstance(method, Attended):  # the uncompressed run, too, so that the two compare
        model.set_attn_implementation("eager")
    inputs = question_inputs(model, processor, pictures, question, system=system, answer=max_new_tokens)
    check_counts(method, visual_tokens(model, inputs["input_ids"]), typed("keep", "ask"))
    telling = None if as_json or repeats or not sys.stdout.isatty() else _Words()
    with nullcontext() if telling else progress(messages, "Answering"):
        report, session = _run(model, processor, inputs, method, repeats, max_new_tokens, telling)
        if picture_out is not None:
            from apet.app.look import as_frames, panels_of
            from apet.pictures import plot

            results = as_frames(session.images) if len(pictures) > 1 else session.images
            overlay = plot(pictures, results, panels=panels_of(method, results), processor=processor)
    report |= {"model": model_name or "embedded", "method": spec}
    if picture_out is not None:
        save_picture(overlay, picture_out, written)
        report["picture"] = str(picture_out)
    if as_json:
        print(json.dumps(report | ({"hint": hint} if hint else {})))
    else:
        _print_text(report, output(), told=telling is not None)
        if hint:
            print(hint, file=sys.stderr)


class _Words:
    """Prints words as they come, without the space that some tokenizers put before the first."""

    begun = False

    def __call__(self, text: str) -> None:
        text = text if self.begun else text.lstrip()
        self.begun = self.begun or bool(text)
        print(text, end="", flush=True)


def _run(
    model: Any, processor: Any, inputs: Any, method: Method, repeats: int, longest: int, tell: _Words | None
) -> tuple[dict[str, Any], Session]:
    """Runs with and, in a comparison, without compression: what is reported, and the last session."""
    full: list[Answer] = []
    short: list[Answer] = []
    if repeats:  # the first run pays for memory and threads; it is not counted
        generate_answer(model, processor, inputs, 1)
    for _ in range(max(repeats, 1)):
        if repeats:
            full.append(generate_answer(model, processor, inputs, longest))
        with compressing(model, method) as session:
            short.append(generate_answer(model, processor, inputs, longest, tell))
    report = median_of(short) | {
        "visual_tokens": session.visual_tokens,
        "kept_tokens": session.kept_stage1,
        "select_seconds": round(session.seconds, 5),
    }
    if later := session.method.later:
        report["stage2"] = {"layer": later[-1].layer, "kept_tokens": session.kept_stage2}
    if full:
        report["uncompressed"] = median_of(full) | {"kept_tokens": session.visual_tokens}
        report["repeats"] = repeats
    return report, session


def _print_text(report: dict[str, Any], console: Console, *, told: bool = False) -> None:
    """Prints the answer, unless it was told as it came, and what it took; two answers as a table."""
    kept = f"{report['kept_tokens']:,} of {report['visual_tokens']:,}"
    if "stage2" in report:
        kept += f", then {report['stage2']['kept_tokens']:,} from layer {report['stage2']['layer']} on"
    title = report["method"]
    first, total = _milliseconds(report)
    whole = report.get("uncompressed")
    notes = [f"selection {report['select_seconds'] * 1000:.1f} ms"]
    if whole:
        table = Table("", "answer", "visual tokens", "first token", "in all", box=None, header_style="bold")
        for column in table.columns:
            column.overflow = "fold"
        tokens = f"{report['visual_tokens']:,}"
        table.add_row("uncompressed", Text(whole["answer"]), tokens, *_milliseconds(whole))
        table.add_row(title, Text(report["answer"]), kept, first, total)
        console.print(table)
        ratio = whole["first_token_seconds"] / report["first_token_seconds"]
        runs = counted(report["repeats"], "run")
        notes += [
            "medians of " + runs.replace("run", "interleaved run")
            if report["repeats"] > 1
            else f"{runs} of each"
        ]
        notes.append(f"first token {ratio:.2f}x as fast")
    else:
        console.print(Text("" if told else report["answer"]), soft_wrap=True)
        notes = [f"{title}: {kept} visual tokens", f"first token {first}", f"in all {total}", *notes]
    console.print(Text(", ".join(notes), style="dim"), soft_wrap=True)
    if "picture" in report:
        console.print(Text(f"what was kept: {report['picture']}", style="dim"), soft_wrap=True)


def _milliseconds(report: dict[str, Any]) -> tuple[str, str]:
    return f"{report['first_token_seconds'] * 1000:.0f} ms", f"{report['seconds'] * 1000:.0f} ms"
