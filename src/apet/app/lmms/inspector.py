"""Looks at tasks of lmms-eval before anything is run on them.

A program of its own, since lmms-eval is loud and heavy:
``python -m apet.app.lmms.inspector ASKED.json FOUND.json``
"""

from __future__ import annotations

import inspect
import json
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from numbers import Real
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from apet.app.lmms.benchmarks import METRICS, TASK_FOLDER

_PROBED = 4_096
"""Questions of a task that are scored with an answer made up, to see whether numbers come of it."""
_NO_NUMBERS = ("submission", "bypass")
"""Metrics that are files for a server, or nothing."""


class _ProblemError(Exception):
    """Why a task cannot be run."""


def main(request_file: Path, answer_file: Path) -> None:
    """Reads ``{"tasks": [[name, metrics], ..], "limit": ..}``, writes `check.Found`'s fields."""
    from lmms_eval.tasks import TaskManager

    request = json.loads(request_file.read_text())
    manager = TaskManager("ERROR", include_path=str(TASK_FOLDER), model_name="apet")
    lines: list[dict[str, Any]] = []
    for name, metrics in request["tasks"]:
        try:
            tasks = list(_leaves(manager, name))
        except _ProblemError as problem:
            lines.append({"asked": name, "task": name, "problem": str(problem)})
            continue
        lines += [{"asked": name, **_look_at(manager, task, metrics, request)} for task in tasks]
    answer_file.write_text(json.dumps(lines))


def _leaves(manager: Any, name: str) -> Iterator[str]:
    """The tasks of a group or a tag; of a task itself."""
    from lmms_eval.utils import load_yaml_config

    entry = manager.task_index.get(name)
    if entry is None:
        raise _ProblemError("lmms-eval has no such task")
    if entry["type"] in ("task", "python_task"):
        yield name
        return
    members = entry["task"]
    if entry["type"] == "group":
        members = load_yaml_config(entry["yaml_path"], mode="simple")["task"]
    for member in [members] if isinstance(members, str) else members:
        if not isinstance(member, str):
            raise _ProblemError("a group that writes its tasks itself; name one of lmms-eval's tasks")
        yield from _leaves(manager, member)


def _look_at(manager: Any, task: str, asked: Sequence[str], request: dict[str, Any]) -> dict[str, Any]:
    try:
        metrics = _metrics(manager, task, asked)
        questions = _questions(manager, task, metrics, request["limit"])
    except _ProblemError as problem:
        return {"task": task, "problem": str(problem)}
    return {"task": task, "metrics": metrics, "questions": questions, "problem": None}


def _metrics(manager: Any, task: str, asked: Sequence[str]) -> list[str]:
    """The metrics that make a task's score, from its configuration alone."""
    from lmms_eval.utils import load_yaml_config

    config = load_yaml_config(manager.task_index[task]["yaml_path"], mode="simple")
    kind = config.get("output_type", "generate_until")
    if kind != "generate_until":
        raise _ProblemError(f"a task of {kind}; the model apet answers generate_until")
    named = [metric.get("metric") for metric in config.get("metric_list", [])]
    numbers = [name for name in named if isinstance(name, str) and name not in _NO_NUMBERS]
    names = list(asked or METRICS.get(task, ()))
    for name in names:
        if name not in numbers:
            raise _ProblemError(f"no metric {name}; it has {', '.join(numbers) or 'none'}")
    if not numbers:
        raise _ProblemError("no metric: it writes a file for a server")
    if not names and len(numbers) > 1:
        raise _ProblemError(f"several metrics; name one as {task}:METRIC, of {', '.join(numbers)}")
    chosen = names or numbers
    judged = [name for name in chosen if "gpt" in name and task not in METRICS]
    if judged and "OPENAI_API_KEY" not in os.environ:
        raise _ProblemError(f"{judged[0]} asks a paid judge, and guesses without one; set OPENAI_API_KEY")
    return chosen


def _questions(manager: Any, task: str, metrics: Sequence[str], limit: int | None) -> int:
    """How many questions will be asked; their data is read, and the first of them, its pictures included."""
    from lmms_eval.tasks import get_task_dict

    try:
        built = get_task_dict([task], manager, task_type="chat")[task]
        documents = built.eval_docs
        count = len(documents) if limit is None else min(limit, len(documents))
        if count:
            built.doc_to_messages(documents[0])
    except Exception as error:  # whatever a data set or its reader raises
        raise _ProblemError(f"no data ({_reason(error)})") from error
    if not count:
        raise _ProblemError("no data (no questions)")
    if task in METRICS:  # of these it is known that scoring asks nobody
        _probe(built, documents, min(count, _PROBED), metrics)
    return count


def _probe(built: Any, documents: Any, count: int, metrics: Sequence[str]) -> None:
    """Scores a made-up answer to so many questions: every metric has to come out as a number."""
    scored: dict[str, list[Any]] = defaultdict(list)
    pictures = [name for name, kind in documents.features.items() if type(kind).__name__ == "Image"]
    try:
        for document in documents.select(range(count)).remove_columns(pictures):
            for name, value in built.process_results(document, ["A"]).items():
                scored[name].append(value)
        for name in metrics:
            if not scored[name]:
                raise _ProblemError(f"none of the {count} questions counts for {name}; ask more")
            aggregate = built.aggregation()[name]
            with tempfile.TemporaryDirectory() as folder:
                more = {"args": SimpleNamespace(output_path=folder)}
                more = more if "args" in inspect.signature(aggregate).parameters else {}
                value = aggregate(scored[name], **more)
            if not isinstance(value, Real) or isinstance(value, bool):
                raise _ProblemError(f"{name} is no number but {value!r}")
    except (AssertionError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise _ProblemError(f"{count} questions cannot be scored ({_reason(error)})") from error


def _reason(error: BaseException) -> str:
    if type(error).__name__ == "RetryError" and error.__cause__ is not None:  # says nothing itself
        return _reason(error.__cause__)
    return " ".join(str(error).split())[:200] or type(error).__name__


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
