"""``apet eval``: methods and budgets compared on questions, resumable, with a report."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, get_args

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from apet.app.command import typed
from apet.app.console import Lines, print_table
from apet.app.console import output as standard_output
from apet.app.files import expanded
from apet.core.errors import ApETError
from apet.core.words import counted
from apet.embedded.reference import NAME
from apet.evaluation.configurations import DEFAULT_METHODS, Stages

_MOST_WORKERS = 8


def run_evaluation(
    *,
    model: str | None,
    methods: str,
    keep: str,
    stage2: str,
    tasks: str,
    seeds: int,
    limit: int | None,
    output: Path,
    workers: int | None,
    times: bool,
    as_json: bool,
    trust_remote_code: bool,
) -> None:
    """Evaluates, writes the report and prints the rows; nothing is printed where something is refused.

    Methods, budgets, stages and tasks are those of the command line as text; empty ones are the defaults.
    """
    from apet.app.options import parse_keeps
    from apet.evaluation.tasks import default_tasks, is_drawn, resolve_tasks

    names = _list(tasks, "--tasks") if tasks else []
    named = _list(methods, "--methods") if methods else list(DEFAULT_METHODS)
    keeps, stages = parse_keeps(keep), parse_stages(stage2)
    if names and not any(is_drawn(name) for name in names):
        from apet.app.eval_lmms import run_lmms

        run_lmms(
            model,
            named,
            keeps,
            stages,
            seeds,
            names,
            limit=limit,
            folder=output / "lmms",
            trust_remote_code=trust_remote_code,
            as_json=as_json,
        )
        return
    from apet.evaluation.evaluate import QUESTIONS, Wanted, evaluate
    from apet.evaluation.markdown import brief
    from apet.evaluation.page import write_report

    wanted = Wanted(
        methods=named,
        keeps=keeps,
        stages=stages,
        tasks=resolve_tasks(names)
        if names
        else default_tasks(embedded=_is_own(model), name=model or "embedded"),
        seeds=seeds,
        limit=QUESTIONS if limit is None else limit,
        times=times,
    )
    wanted.check()
    subject = load_subject(model, trust_remote_code=trust_remote_code)
    if workers is None:  # a core each for the project's models, which are too small to keep two busy
        workers = min(os.cpu_count() or 1, _MOST_WORKERS) if model in (None, NAME) else 1
    with _progress() as progress:
        result = evaluate(subject, wanted, output, progress, workers)
    written = write_report(result, output)
    if as_json:
        print(json.dumps({"rows": [row.as_json() for row in result.rows]}))
        return
    print_table(*brief(result))
    standard_output().print(Text(", ".join(map(str, written)), style="dim"), soft_wrap=True)


def parse_stages(text: str) -> list[Stages]:
    """``"off"``, ``"paper"`` or both."""
    stages: list[Stages] = []
    for part in _list(text, "--stage2"):
        if part not in get_args(Stages):
            raise ApETError("eval --stage2", repr(part), "off, paper, or both with a comma")
        stages.append("paper" if part == "paper" else "off")
    return list(dict.fromkeys(stages))


def _list(text: str, option: str) -> list[str]:
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise ApETError(f"eval {option}", repr(text), "names or numbers with commas between them")
    return parts


def load_subject(name: str | None, *, trust_remote_code: bool = False) -> Any:
    """The model under evaluation; a folder that the training here wrote is taken for the embedded model."""
    from apet.app.loading import load_model
    from apet.evaluation.subject import Subject

    model, processor = load_model(name, trust_remote_code=trust_remote_code)
    if not getattr(processor, "chat_template", None):
        raise ApETError(
            typed("model", "model"), f"{name} (no chat template)", "a model whose processor has one"
        )
    again = partial(load_subject, name, trust_remote_code=trust_remote_code)
    return Subject(name or "embedded", model, processor, embedded=_is_own(name), reload=again)


def _is_own(name: str | None) -> bool:
    """Whether a model is one of the project's, or in a folder that the project's training wrote."""
    return (
        name is None or name == NAME or (expanded(name, typed("model", "model")) / "training.json").is_file()
    )


def _work_left(done: int, total: int) -> str:
    """How much is to be done, before it begins."""
    left = counted(total - done, "run")
    return f"apet eval: {left} to do; --methods, --keep, --stage2 and --tasks choose fewer"


@contextmanager
def _progress() -> Iterator[Callable[[int, int, str], None]]:
    """A bar on a terminal, a line now and then in a pipe."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Lines("eval", _work_left)
        return
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)

        def tell(done: int, total: int, what: str) -> None:
            if bar.tasks[0].total is None:
                bar.console.print(_work_left(done, total), highlight=False)
            bar.update(task, completed=done, total=total, description=what)

        yield tell
