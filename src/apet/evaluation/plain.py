"""Answers through the calls that every user makes: processor, ``generate``, decode."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from apet.evaluation.replies import Reply
from apet.evaluation.subject import Subject
from apet.evaluation.tasks import Case
from apet.hf import Session, compressing
from apet.hf.api import on_its_attention
from apet.hf.families import family_of
from apet.hf.results import Schedule, schedule_of
from apet.methods import Method

LONGEST_ANSWER = 12
"""New tokens per answer; the longest right answer of the embedded model has 7, an end included."""


@contextmanager
def applied(subject: Subject, method: Method | None) -> Iterator[Session | None]:
    """The method applied within a ``with`` block, or nothing; on eager attention where it reads weights."""
    model = subject.model
    if method is None:
        yield None
        return
    with on_its_attention(model, method), compressing(model, method) as session:
        yield session


def check_applies(subject: Subject, method: Method | None) -> None:
    """Applies a method and takes it off again.

    Raises:
        ApETError: If it does not fit the model.
    """
    stack = ExitStack()
    stack.enter_context(applied(subject, method))
    stack.close()


@torch.no_grad()
def answer_plainly(
    subject: Subject, cases: Sequence[Case], method: Method | None, batch: int = 8
) -> list[Reply]:
    """Answers cases in order, in batches of cases that show as many pictures and have as many turns.

    In a conversation the model sees its own earlier answers.

    Args:
        subject: The model.
        cases: What to ask.
        method: What to compress with, or None.
        batch: Prompts per ``generate``.

    Returns:
        One reply per case.
    """
    alike: dict[tuple[str, int], list[int]] = {}
    for number, case in enumerate(cases):
        alike.setdefault((case.kind, len(case.turns)), []).append(number)
    found: dict[int, Reply] = {}
    with applied(subject, method) as session:
        for numbers in alike.values():
            for start in range(0, len(numbers), batch):
                part = numbers[start : start + batch]
                replies = _converse(subject, [cases[number] for number in part], method, session)
                found |= dict(zip(part, replies, strict=True))
    return [found[number] for number in range(len(cases))]


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
        for text, given, conversation in zip(texts, answers, conversations, strict=True):
            given.append(text)
            content = [{"type": "text", "text": text}]
            conversation.append({"role": "assistant", "content": content})
    for row, (case, given) in enumerate(zip(cases, answers, strict=True)):
        images = tuple(image for image in session.images if image.row == row) if session is not None else ()
        schedule: Schedule
        if method is None:
            schedule = ((0, int(visual_tokens(subject, inputs["input_ids"][row]))),)
        else:
            schedule = schedule_of(images, method)
        replies.append(Reply(case, tuple(given), schedule, images))
    return replies


def visual_tokens(subject: Subject, ids: torch.Tensor) -> int:
    """Placeholders of visual tokens in a prompt ``(L,)``."""
    family = family_of(subject.model, "eval")
    config = subject.model.config
    wanted = {getattr(config, modality.placeholder, None) for modality in family.modalities} - {None}
    return int(torch.isin(ids.cpu(), torch.tensor(sorted(wanted))).sum())
