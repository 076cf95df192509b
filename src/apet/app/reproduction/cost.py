"""What a reproduction costs: questions, and the least time of a device by ``apet plan``'s arithmetic."""

from __future__ import annotations

from collections.abc import Mapping

from apet.app.known import KNOWN, configuration_of
from apet.app.lmms.benchmarks import BENCHMARKS
from apet.app.plan.costs import Load, plan
from apet.app.plan.devices import DEVICES
from apet.app.plan.shapes import text_of, vision_of
from apet.app.reproduction.planned import Reproduction
from apet.core.words import in_time

__all__ = ["cost_of"]

_DEVICE = "h200"
_LOAD = Load(words=96, answer=3)
"""A system prompt and a question, and a word or a letter."""


def cost_of(planned: Reproduction, questions: Mapping[str, int] | None) -> str:
    """The cost in two sentences.

    Args:
        planned: The runs.
        questions: How many each benchmark asks; None if nobody has counted: what is known of them is taken.
    """
    known = questions or {name: BENCHMARKS[name].questions for name in planned.benchmarks}
    limit = next(iter(planned.runs.values())).limit
    if questions is None and limit is not None:
        known = {name: min(count, limit * len(BENCHMARKS[name].tasks)) for name, count in known.items()}
    once, ways = sum(known.values()), len(planned.budgets)
    most = max(known, key=lambda name: known[name])
    seconds = sum(once * _seconds(planned, number) for number in range(ways))
    return (
        f"Cost: {'' if questions else 'about '}{once:,} questions under {ways} configurations, "
        f"{once * ways:,} answers, {100 * known[most] / once:.0f}% of them of {BENCHMARKS[most].title}. "
        f"One at a time on {DEVICES[_DEVICE].title}, they take at least {in_time(seconds)} by the "
        "arithmetic of apet plan, and more with loading and pictures. --tasks, --keep and --limit ask less."
    )


def _seconds(planned: Reproduction, number: int) -> float:
    """The least time of an answer."""
    config = configuration_of(KNOWN[planned.table.known])
    text = text_of(config)
    built = list(planned.runs.values())[number * len(planned.benchmarks)].configuration.built
    stage2 = None if built is None or built.stage2 is None else (built.stage2.layer, built.stage2.keep)
    keep = None if built is None or callable(built.keep) else built.keep
    return plan(text, vision_of(config, None, text), _LOAD, DEVICES[_DEVICE], keep, stage2).answer_seconds
