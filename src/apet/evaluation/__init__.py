"""Honest evaluation: methods and budgets on questions with known answers, resumable, with reports.

`evaluate` runs what is `Wanted` on a `Subject` and counts; `write_report` writes what came of it as Markdown,
JSON and a page. ``apet eval`` is both on the command line.

A new drawn task touches ``apet.scenes`` alone (see ``apet.scenes.sources``), a new method ``apet.methods``. A
new figure of a timed question touches `time_one` in `plain`, `FIGURES` in `store` (stored times without it
are taken anew), `Row` in `statistics`, in `markdown` the columns of a report and those of a terminal, and
``docs/evaluation.md``; the page and the JSON file follow. For one of every answer another ``_VERSION`` in
`runner` asks everything anew.
"""

from apet.evaluation.configurations import Configuration, plan
from apet.evaluation.evaluate import Evaluation, Wanted, evaluate
from apet.evaluation.page import write_report
from apet.evaluation.statistics import Row, Summary
from apet.evaluation.subject import Subject
from apet.evaluation.tasks import TASKS, Case, default_tasks, draw_cases, resolve_tasks

__all__ = [
    "TASKS",
    "Case",
    "Configuration",
    "Evaluation",
    "Row",
    "Subject",
    "Summary",
    "Wanted",
    "default_tasks",
    "draw_cases",
    "evaluate",
    "plan",
    "resolve_tasks",
    "write_report",
]
