"""lmms-eval's command in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_ERROR = re.compile(r"[\w.]+(Error|Exception|Interrupt)\b.*")
"""The last line of a traceback."""


def run_command(arguments: Sequence[str], log: Path) -> tuple[int, str]:
    """Runs lmms-eval's command in a process of its own, and writes what it says to the log.

    Returns:
        Its exit code, which lmms-eval leaves at 0 also where it fails, and its last error, or its last line.
    """
    import torch

    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("")
    # Small models take less time than imports, which a fork server does once; beside a GPU no fork is safe.
    forks = sys.platform == "linux" and not torch.cuda.is_available()
    context: Any = multiprocessing.get_context("forkserver" if forks else "spawn")
    if forks:
        context.set_forkserver_preload(["lmms_eval.__main__", "lmms_eval.evaluator", "apet.app.lmms_model"])
    process = context.Process(target=_main, args=(list(arguments), str(log)))
    process.start()
    process.join()
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    raised = [line for line in lines if _ERROR.match(line)]
    return process.exitcode or 0, (raised or lines or ["no output"])[-1]


def _main(arguments: list[str], log: str) -> None:
    """What the process does: ``lmms-eval ARGUMENTS > LOG 2>&1``."""
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.argv = ["lmms-eval", *arguments]
    from lmms_eval.__main__ import cli_evaluate

    cli_evaluate()
