"""``apet ask``: one question about one picture, compressed, and on request uncompressed as well."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from apet.app.files import check_picture_path, open_picture, save_picture
from apet.core.errors import ApETError
from apet.methods import ApET, Stage2

__all__ = ["Answer", "Request", "answer_request"]


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
    trust_remote_code: bool = False


@dataclass(frozen=True)
class Answer:
    """A model's answer.

    ``seconds`` is the whole of ``generate``, ``first_token_seconds`` the part up to the first token (vision,
    selection and prefill).
    """

    text: str
    seconds: float
    first_token_seconds: float


class _FirstToken:
    """A streamer that notes when the first generated token arrives; generate puts the prompt before it."""

    def __init__(self) -> None:
        self.calls, self.at = 0, 0.0

    def put(self, value: object) -> None:
        """Called with the prompt, then with every token."""
        self.calls += 1
        if self.calls == 2:
            self.at = time.perf_counter()

    def end(self) -> None:
        """Called when generation ends."""


def _prompt(processor: Any, question: str) -> str:
    """The model's own chat template, or LLaVA-1.5's wording where a processor carries none."""
    if getattr(processor, "chat_template", None):
        content = [{"type": "image"}, {"type": "text", "text": question}]
        return str(
            processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        )
    return f"USER: <image>\n{question} ASSISTANT:"


def _generate(model: Any, processor: Any, inputs: Any, max_new_tokens: int) -> Answer:
    clock = _FirstToken()
    start = time.perf_counter()
    output = model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False, streamer=clock)
    seconds = time.perf_counter() - start
    text = processor.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return Answer(str(text).strip(), seconds, clock.at - start)


def _median(answers: list[Answer]) -> Answer:
    """The answer (the same every time: decoding is greedy) with the median times."""
    return Answer(
        answers[0].text,
        statistics.median(a.seconds for a in answers),
        statistics.median(a.first_token_seconds for a in answers),
    )


@contextmanager
def _progress(console: Console, text: Text) -> Iterator[None]:
    """A spinner on a terminal, nothing in a pipe."""
    if console.is_terminal:
        with console.status(text):
            yield
    else:
        yield


def answer_request(request: Request, *, as_json: bool) -> None:
    """Answers and prints, as text or as one JSON object.

    Raises:
        ApETError: If something in the request is not right; nothing is printed then.
    """
    if not request.question.strip():
        raise ApETError("ask", "an empty question", "a question in words")
    method = ApET(request.keep, tolerance=request.tolerance, stage2=request.stage2)
    picture = open_picture(request.picture)
    if request.picture_out is not None:
        check_picture_path(request.picture_out)
    messages = Console(stderr=True)
    with _progress(messages, Text(f"Loading {request.model or 'the embedded model'}")):
        from apet.app.loading import load_model

        if as_json or not messages.is_terminal:
            _silence_progress_bars()
        model, processor = load_model(request.model, trust_remote_code=request.trust_remote_code)
    placeholder = getattr(processor, "image_token", None)
    if placeholder and placeholder in request.question:
        raise ApETError("ask", f"a question with {placeholder}", "a question without the model's image token")
    inputs = processor(images=picture, text=_prompt(processor, request.question), return_tensors="pt")
    inputs = inputs.to(model.device, model.dtype)
    with _progress(messages, Text("Answering")):
        report, overlay = _run(request, method, model, processor, inputs)
    if overlay is not None and request.picture_out is not None:
        save_picture(overlay, request.picture_out)
        report["picture"] = str(request.picture_out)
    if as_json:
        print(json.dumps(report))
    else:
        _print_text(report, Console())


def _run(
    request: Request, method: ApET, model: Any, processor: Any, inputs: Any
) -> tuple[dict[str, Any], Any]:
    """Runs with and, in a comparison, without compression; returns the report and the overlay."""
    from apet.hf import compressing

    full: list[Answer] = []
    short: list[Answer] = []
    if request.repeats:
        # The first run pays for memory and threads; it is not counted.
        _generate(model, processor, inputs, 1)
    for _ in range(max(request.repeats, 1)):
        if request.repeats:
            full.append(_generate(model, processor, inputs, request.max_new_tokens))
        with compressing(model, method) as session:
            short.append(_generate(model, processor, inputs, request.max_new_tokens))
    image = session.images[0]
    answer = _median(short)
    report: dict[str, Any] = {
        "answer": answer.text,
        "visual_tokens": image.tokens,
        "kept_tokens": image.tokens_stage1,
        "seconds": round(answer.seconds, 4),
        "first_token_seconds": round(answer.first_token_seconds, 4),
        "select_seconds": round(image.seconds, 5),
        "model": request.model or "embedded",
    }
    if request.stage2 is not None:
        report["stage2"] = {"layer": request.stage2.layer, "kept_tokens": image.tokens_stage2}
    if full:
        whole = _median(full)
        report["uncompressed"] = {
            "answer": whole.text,
            "kept_tokens": image.tokens,
            "seconds": round(whole.seconds, 4),
            "first_token_seconds": round(whole.first_token_seconds, 4),
        }
        report["repeats"] = request.repeats
    overlay = None
    if request.picture_out is not None:
        from apet.app.overlay import draw_overlay, seen_picture

        overlay = draw_overlay(seen_picture(inputs["pixel_values"][0], processor.image_processor), image)
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
    table.add_row("ApET", Text(report["answer"]), kept, *_milliseconds(report))
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


def _silence_progress_bars() -> None:
    from transformers.utils import logging

    logging.disable_progress_bar()
