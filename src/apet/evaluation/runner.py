"""Runs every configuration on every case, writes finished batches down, and goes on where it was killed."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from apet.evaluation.asking import Piece, answer_pieces
from apet.evaluation.configurations import Configuration
from apet.evaluation.machine import machine
from apet.evaluation.plain import time_one
from apet.evaluation.store import Records, Store
from apet.evaluation.subject import Subject
from apet.evaluation.tasks import Case
from apet.evaluation.workers import answer_in_processes, check_workers

TIMED = 16
"""Questions, about as many contents, that are also asked alone and timed under every configuration."""

_VERSION = 2
_PICTURES = 16
"""In a group: what the encoder gave of them is held in memory together."""

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
    workers: int = 1,
    *,
    times: bool = True,
) -> Records:
    """Answers all cases under all configurations, as far as the store does not hold the answers yet.

    Pictures come in groups, and every configuration, the uncompressed model first, sees a group before the
    next begins; cases about one content stand together. At the end some cases are also asked alone, by this
    process, and timed.
    """
    check_workers(workers, subject)
    keys = [configuration_key(subject, configuration) for configuration in configurations]
    records = Records(store.lines)
    timed = evenly(cases, TIMED) if times else []
    groups = _missing(keys, configurations, cases, records)
    pieces = len(configurations) * sum(1 for _ in _chunks(cases))
    total = pieces + len(configurations) * len(timed)
    done = pieces - sum(len(group) for group in groups)
    names = {key: _describe(configuration) for key, configuration in zip(keys, configurations, strict=True)}
    if groups:
        progress(done, total, "answering")
    if min(workers, len(groups)) > 1:
        lines = answer_in_processes(subject, groups, min(workers, len(groups)))
    else:
        lines = (line for group in groups for line in answer_pieces(subject, group))
    for line in lines:
        store.add(line)
        records.read(line)
        done += 1
        progress(done, total, names[line["run"]])
    about = machine(subject.model.device)
    where = about.get("gpu") or f"{about['threads']} threads on {about['cores']} cores of {about['cpu']}"
    where = f"{where}, torch {about['torch']}"
    for number, case in enumerate(timed):
        missing = [not records.is_timed(key, case) for key in keys]
        if number == 0 and any(missing):
            time_one(subject, case, None)  # pays for memory and threads
        for key, configuration, needed in zip(keys, configurations, missing, strict=True):
            progress(done, total, f"timing {_describe(configuration)}")
            if needed:
                line = {"kind": "time", "run": key, "case": case.key, "machine": where}
                line |= time_one(subject, case, configuration.built)
                store.add(line)
                records.read(line)
            done += 1
    progress(total, total, "done")
    return records


def _missing(
    keys: Sequence[str], configurations: Sequence[Configuration], cases: Sequence[Case], records: Records
) -> list[list[Piece]]:
    """What is not answered yet, by group of pictures; groups in which nothing is missing are left out."""
    groups = []
    for chunk in _chunks(cases):
        pieces = []
        for key, configuration in dict(zip(keys, configurations, strict=True)).items():
            part = [case for case in chunk if not records.has(key, case)]
            if part:
                pieces.append(Piece(key, configuration, part))
        if pieces:
            groups.append(pieces)
    return groups


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


def evenly(cases: Sequence[Case], number: int) -> list[Case]:
    """So many cases, each about a content of its own, evenly over all of them, and of the tasks by turns.

    Budgets that follow the picture would otherwise be timed on one picture and counted on others.
    """
    contents: dict[str, list[Case]] = {}
    for case in cases:
        contents.setdefault(case.group, []).append(case)
    groups = list(contents.values())
    count = min(number, len(groups))
    used: Counter[str] = Counter()
    interleaved = []
    for place in range(count):
        case = min(groups[place * len(groups) // count], key=lambda one: used[one.task])
        used[case.task] += 1
        interleaved.append(case)
    return interleaved
