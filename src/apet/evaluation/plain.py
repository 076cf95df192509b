"""Answers through the calls that every user makes: processor, ``generate``, decode."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from apet.evaluation.subject import Subject
from apet.evaluation.tasks import Case
from apet.hf import Session, compressing
from apet.hf.api import on_its_attention
from apet.hf.families import family_of
from apet.hf.first_token import FirstToken
from apet.hf.results import ImageResult, Schedule, schedule_of
from apet.methods import Method

LONGEST_ANSWER = 12
"""New tokens per answer; the longest right answer of the embedded model has 7, an end included."""


@dataclass(frozen=True)
class Reply:
    """The answers to a case, one per turn, and the visual tokens per layer, over everything that it shows.

    ``images`` is what the session told about each picture, tile or frame; empty without a method.
    """

    case: Case
    answers: tuple[str, ...]
    schedule: Schedule
    images: tuple[ImageResult, ...]


@contextmanager
def applied(model: Any, method: Method | None) -> Iterator[Session | None]:
    """The method applied within a ``with`` block, or nothing; on eager attention where it reads weights."""
    if method is None:
        yield None
    else:
        with on_its_attention(model, method), compressing(model, method) as session:
            yield session


def check_applies(subject: Subject, method: Method | None) -> None:
    """Applies a method and takes it off again."""
    with applied(subject.model, method):
        pass


@torch.no_grad()
def answer_plainly(
    subject: Subject, cases: Sequence[Case], method: Method | None, batch: int = 8
) -> list[Reply]:
    """Answers cases in order, in batches of cases that show as many pictures and have as many turns.

    In a conversation the model sees its own earlier answers. ``batch`` is prompts per ``generate``.
    """
    alike: dict[tuple[str, int], list[int]] = {}
    for number, case in enumerate(cases):
        alike.setdefault((case.kind, len(case.turns)), []).append(number)
    replies_by_place: dict[int, Reply] = {}
    with applied(subject.model, method) as session:
        for numbers in alike.values():
            for start in range(0, len(numbers), batch):
                part = numbers[start : start + batch]
                replies = _converse(subject, [cases[number] for number in part], method, session)
                replies_by_place |= dict(zip(part, replies, strict=True))
    return [replies_by_place[number] for number in range(len(cases))]


def _converse(
    subject: Subject, cases: Sequence[Case], method: Method | None, session: Session | None
) -> list[Reply]:
    pictures = [case.pictures() for case in cases]
    conversations: list[list[dict[str, Any]]] = [[] for _ in cases]
    answers: list[list[str]] = [[] for _ in cases]
    replies = []
    for turn in range(len(cases[0].turns)):
        for case, shown, conversation in zip(cases, pictures, conversations, strict=True):
            conversation.append({"role": "user", "content": subject.message(case, turn, shown)})
        inputs = subject.encode(conversations)
        output = subject.model.generate(**inputs, max_new_tokens=LONGEST_ANSWER, do_sample=False)
        texts = subject.decode(output, inputs["input_ids"].shape[1])
        for text, said, conversation in zip(texts, answers, conversations, strict=True):
            said.append(text)
            content = [{"type": "text", "text": text}]
            conversation.append({"role": "assistant", "content": content})
    for row, (case, said) in enumerate(zip(cases, answers, strict=True)):
        images = tuple(image for image in session.images if image.row == row) if session is not None else ()
        whole: Schedule = ((0, visual_tokens(subject.model, inputs["input_ids"][row])),)
        schedule = whole if method is None else schedule_of(images, method)
        replies.append(Reply(case, tuple(said), schedule, images))
    return replies


def visual_tokens(model: Any, ids: torch.Tensor) -> int:
    """Visual tokens of a prompt of any shape."""
    kinds = family_of(model, "visual_tokens").modalities
    placeholders: set[Any] = {getattr(model.config, kind.placeholder, None) for kind in kinds}
    return sum(int(torch.eq(ids, placeholder).sum()) for placeholder in placeholders - {None})


@torch.no_grad()
def time_one(subject: Subject, case: Case, method: Method | None) -> dict[str, Any]:
    """Answers the first turn of a case alone; reading the picture and tokenizing are not timed.

    Returns:
        The answer, and seconds: ``select`` for the selection, in all stages, ``first`` up to the first token
        (vision, selection and prefill), and ``total`` for the whole of ``generate``.
    """
    message = {"role": "user", "content": subject.message(case, 0, case.pictures())}
    inputs: Any = subject.encode([[message]])
    with applied(subject.model, method) as session:
        streamer = FirstToken()
        start = time.perf_counter()
        output = subject.model.generate(
            **inputs, max_new_tokens=LONGEST_ANSWER, do_sample=False, streamer=streamer
        )
        total = time.perf_counter() - start
    select = 0.0 if session is None else session.seconds
    seconds = {"select": select, "first": streamer.at - start, "total": total}
    answer = subject.decode(output, inputs["input_ids"].shape[1])[0]
    return {"answer": answer} | {name: round(value, 6) for name, value in seconds.items()}
