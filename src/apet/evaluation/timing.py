"""How long one question alone takes under a configuration: selection, first token, whole answer."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch

from apet.evaluation.plain import LONGEST_ANSWER, applied
from apet.evaluation.subject import Subject
from apet.evaluation.tasks import Case
from apet.hf.first_token import FirstToken
from apet.methods import Method


@dataclass(frozen=True)
class Timing:
    """One timed answer.

    Attributes:
        answer: What was answered.
        select: Seconds spent selecting tokens, in all stages.
        first: Seconds up to the first token: vision, selection and prefill.
        total: Seconds of the whole ``generate``.
    """

    answer: str
    select: float
    first: float
    total: float


@torch.no_grad()
def time_one(subject: Subject, case: Case, method: Method | None) -> Timing:
    """Answers the first turn of a case alone, through plain calls, and times it.

    Reading the picture and tokenizing are not counted.
    """
    message = {"role": "user", "content": subject.message(case, 0, case.pictures())}
    inputs: Any = subject.encode([[message]])
    with applied(subject, method) as session:
        clock = FirstToken()
        start = time.perf_counter()
        output = subject.model.generate(
            **inputs, max_new_tokens=LONGEST_ANSWER, do_sample=False, streamer=clock
        )
        total = time.perf_counter() - start
    answer = subject.decode(output, inputs["input_ids"].shape[1])[0]
    select = 0.0 if session is None else session.seconds
    return Timing(answer, select, clock.at - start, total)
