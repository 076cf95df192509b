"""What a reproduction costs: answers, and the least time of a device by ``apet plan``'s arithmetic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cache

from apet.app.known import KNOWN, configuration_of, inputs
from apet.app.lmms.benchmarks import BENCHMARKS
from apet.app.plan.costs import Load, plan
from apet.app.plan.devices import DEVICES
from apet.app.plan.skeleton import skeleton
from apet.app.plan.text import Text, text_of
from apet.app.plan.vision import Vision, vision_of
from apet.app.reproduction.planned import Reproduction
from apet.core.words import counted, in_time
from apet.methods import Method

_DEVICE = "h200"
_LOAD = Load(words=96, answer=3)
"""A system prompt and a question, and a word or a letter."""


def cost_of(planned: Reproduction, questions: Mapping[str, int] | None) -> str:
    """The cost of the runs that have not finished, in three sentences.

    ``questions`` is how many each benchmark asks; None if nobody has counted: what is known is taken.
    """
    answers: Counter[str] = Counter()
    seconds, runs = 0.0, 0
    for (_, name), run in planned.runs.items():
        if run.results is not None:
            continue
        most = BENCHMARKS[name].questions if run.limit is None else run.limit * len(BENCHMARKS[name].tasks)
        count = min(BENCHMARKS[name].questions, most) if questions is None else questions[name]
        answers[name] += count
        seconds += count * _seconds(planned, run.configuration.built)
        runs += 1
    if not runs:
        return "Cost: none; all runs have finished before."
    (name, largest), total = answers.most_common(1)[0], answers.total()
    return (
        f"Cost: {'about ' if questions is None else ''}{total:,} answers in {counted(runs, 'run')}, "
        f"{100 * largest / total:.0f}% of them of {BENCHMARKS[name].title}. One at a time on "
        f"{DEVICES[_DEVICE].title}, they take at least {in_time(seconds)} by the arithmetic of apet plan, "
        "and more with loading and pictures. --tasks, --keep and --limit ask less."
    )


def _seconds(planned: Reproduction, method: Method | None) -> float:
    """The least time of an answer."""
    keep = None if method is None or callable(method.keep) else method.keep
    text, vision = _shapes(planned.table.known)
    return plan(text, vision, _LOAD, DEVICES[_DEVICE], keep, getattr(method, "stage2", None)).answer_seconds


@cache
def _shapes(known: str) -> tuple[Text, Vision]:
    """What a model of a built-in name computes for one picture or clip."""
    model = skeleton(configuration_of(KNOWN[known]))
    return text_of(model), vision_of(model, inputs(model, 1))
