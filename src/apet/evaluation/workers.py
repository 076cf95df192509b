"""Several processes that answer at once, each on a core of its own.

Small models leave cores idle: a decode step is too little work to share. Each process loads the model itself.
Only the calling process writes to the store.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import multiprocessing
from transformers.utils import logging

from apet.core.errors import ApETError
from apet.evaluation.asking import Piece, answer_pieces
from apet.evaluation.subject import Subject

_LOOK_AROUND = 2.0  # seconds between looks whether the other side still lives


def check_workers(workers: int, subject: Subject) -> None:
    """Checks a number of processes."""
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise ApETError("eval --workers", repr(workers), "an int of at least 1")
    if workers > 1 and subject.model.device.type != "cpu":
        got = f"{workers} for a model on {subject.model.device}"
        raise ApETError("eval --workers", got, "1: several processes are for a model on the CPU")
    if workers > 1 and subject.reload is None:
        got = f"{workers} for a subject without reload"
        raise ApETError("eval --workers", got, "Subject(.., reload=a function that loads it again)")


def answer_in_processes(
    subject: Subject, groups: Sequence[Sequence[Piece]], workers: int
) -> Iterator[dict[str, Any]]:
    """Answers groups of pieces as `answer_pieces` does, in so many processes that share the threads.

    Lines for the store are given as they come, until a process fails or dies.
    """
    context = multiprocessing.get_context("spawn")
    todo, done = context.Queue(), context.Queue()
    for number in range(len(groups)):
        todo.put(number)
    for _ in range(workers):
        todo.put(None)
    threads = max(1, torch.get_num_threads() // workers)
    processes = [
        context.Process(target=_work, args=(subject.reload, groups, threads, todo, done), daemon=True)
        for _ in range(workers)
    ]
    try:
        for process in processes:
            process.start()
        running = workers
        while running:
            try:
                line = done.get(timeout=_LOOK_AROUND)
            except queue.Empty:
                died = [process.exitcode for process in processes if process.exitcode not in (None, 0)]
                if died:
                    expected = "processes that finish; memory may be short: --workers 1"
                    raise ApETError("eval", f"a process that ended with code {died[0]}", expected) from None
                continue
            if line is None:
                running -= 1
            elif isinstance(line, Exception):
                raise line
            else:
                yield line
    finally:
        for process in processes:
            if process.is_alive():
                process.terminate()


def _work(
    load: Callable[[], Subject], groups: Sequence[Sequence[Piece]], threads: int, todo: Any, done: Any
) -> None:
    """Takes groups until there are none, or nobody waits for the answers any more."""
    torch.set_num_threads(threads)
    logging.disable_progress_bar()
    parent = multiprocessing.parent_process()
    try:
        subject = load()
        while (number := todo.get()) is not None:
            for line in answer_pieces(subject, groups[number]):
                if parent is not None and not parent.is_alive():
                    return
                done.put(line)
        done.put(None)
    except ApETError as error:
        done.put(error)
    except Exception as error:  # noqa: BLE001  told to the caller, whatever it was
        done.put(ApETError("eval", f"{type(error).__name__}: {error}", "a model that answers"))
