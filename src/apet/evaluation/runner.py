"""Runs every configuration on every case, writes finished batches down, and goes on where it was killed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

from apet.evaluation.bands import measure_bands
from apet.evaluation.configurations import FULL, Configuration
from apet.evaluation.plain import answer_plainly
from apet.evaluation.records import Records
from apet.evaluation.replies import Reply
from apet.evaluation.shared import BLIND, Shared, can_share
from apet.evaluation.store import Store
from apet.evaluation.subject import Subject
from apet.evaluation.tasks import Case
from apet.evaluation.timing import time_one

__all__ = ["TIMED", "configuration_key", "run"]

TIMED = 8
"""Questions that are also asked alone and timed, under every configuration."""

_VERSION = 1
_PICTURES = 16

Progress = Callable[[int, int, str], None]
"""Called with pieces of work done, pieces in all, and what comes next."""


def configuration_key(subject: Subject, configuration: Configuration) -> str:
    """Hash of everything that an answer depends on beside the case: weights, number format, every field."""
    parts = (_VERSION, subject.fingerprint, subject.embedded, str(subject.model.dtype), configuration.built)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def run(
    subject: Subject,
    configurations: Sequence[Configuration],
    cases: Sequence[Case],
    store: Store,
    progress: Progress = lambda done, total, what: None,
) -> Records:
    """Answers all cases under all configurations, as far as the store does not hold the answers yet.

    Pictures come in groups, and every configuration sees a group before the next begins. Some cases are also
    asked alone, under one configuration after another, and timed.

    Args:
        subject: The model.
        configurations: The first is the uncompressed model.
        cases: Cases about one content stand together.
        store: Where finished batches are, and go.
        progress: Called before every piece of work.

    Returns:
        The records of these configurations and cases.
    """
    keys = [configuration_key(subject, configuration) for configuration in configurations]
    records = Records(store.lines)
    timed = _spread(cases, TIMED)
    chunks = list(_chunks(cases))
    done, total = 0, len(configurations) * (len(chunks) + len(timed))
    for chunk in chunks:
        todo = [[case for case in chunk if not records.has(key, case)] for key in keys]
        if any(todo):
            wanted = {case.key for part in todo for case in part}
            ask = _Asking(subject, [case for case in chunk if case.key in wanted])
            with ask.ready():
                for key, configuration, part in zip(keys, configurations, todo, strict=True):
                    progress(done, total, _describe(configuration))
                    if part:
                        line = _line(key, configuration, ask.answer(part, configuration))
                        store.add(line)
                        records.read(line)
                    done += 1
        else:
            done += len(configurations)
    for number, case in enumerate(timed):
        missing = [not records.is_timed(key, case) for key in keys]
        if number == 0 and any(missing):
            time_one(subject, case, None)  # pays for memory and threads
        for key, configuration, needed in zip(keys, configurations, missing, strict=True):
            progress(done, total, f"timing {_describe(configuration)}")
            if needed:
                timing = time_one(subject, case, configuration.built)
                line = {
                    "kind": "time",
                    "run": key,
                    "case": case.key,
                    "answer": timing.answer,
                    "select": round(timing.select, 6),
                    "first": round(timing.first, 6),
                    "total": round(timing.total, 6),
                }
                store.add(line)
                records.read(line)
            done += 1
    progress(total, total, "done")
    return records


class _Asking:
    """The cases of one group of pictures: shared prefills where that is the same, plain calls elsewhere."""

    def __init__(self, subject: Subject, cases: Sequence[Case]) -> None:
        self.subject = subject
        fitting = [case for case in cases if can_share(subject, case)]
        self.shared = Shared(subject, fitting) if fitting else None
        self.fitting = {case.key for case in fitting}

    def ready(self) -> Any:
        """A ``with`` block in which the vision encoder computes each shared picture once."""
        return self.shared.ready() if self.shared is not None else nullcontext()

    def answer(self, cases: Sequence[Case], configuration: Configuration) -> list[Reply]:
        """Answers in the order of the cases."""
        blind = configuration.name in BLIND or configuration.built is None
        quick = [case for case in cases if blind and case.key in self.fitting]
        slow = [case for case in cases if not (blind and case.key in self.fitting)]
        found: dict[str, Reply] = {}
        if self.shared is not None and quick:
            found |= {reply.case.key: reply for reply in self.shared.answer(quick, configuration.built)}
        if slow:
            replies = answer_plainly(self.subject, slow, configuration.built)
            found |= {reply.case.key: reply for reply in replies}
        return [found[case.key] for case in cases]


def _line(key: str, configuration: Configuration, replies: Sequence[Reply]) -> dict[str, Any]:
    chooses = configuration.built is None or not configuration.built.replaces
    alone = {reply.case.group: reply.images for reply in replies if reply.case.kind == "image" and chooses}
    return {
        "kind": "answers",
        "run": key,
        "method": repr(configuration.built) if configuration.built is not None else FULL,
        "answers": {reply.case.key: list(reply.answers) for reply in replies},
        "schedules": {reply.case.key: reply.schedule for reply in replies},
        "bands": measure_bands([image for images in alone.values() for image in images]),
        "pictures": len(alone),
    }


def _describe(configuration: Configuration) -> str:
    if configuration.built is None:
        return "uncompressed"
    words = f"{configuration.method} {'' if configuration.keep is None else configuration.keep}".rstrip()
    words += " in two stages" if configuration.stage2 == "paper" else ""
    return words if configuration.seed is None else f"{words}, seed {configuration.seed}"


def _chunks(cases: Sequence[Case]) -> Iterator[list[Case]]:
    """Groups of cases over so many contents each."""
    part: list[Case] = []
    groups: set[str] = set()
    for case in cases:
        if case.group not in groups and len(groups) == _PICTURES:
            yield part
            part, groups = [], set()
        groups.add(case.group)
        part.append(case)
    if part:
        yield part


def _spread(cases: Sequence[Case], number: int) -> list[Case]:
    """So many cases, one of each task in turn."""
    tasks: dict[str, list[Case]] = {}
    for case in cases:
        tasks.setdefault(case.task, []).append(case)
    turns = [part[round_] for round_ in range(number) for part in tasks.values() if round_ < len(part)]
    return turns[:number]
