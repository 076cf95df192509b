"""MMBench as LLaVA's evaluation asks it, scored by lmms-eval's rules without a judge: for ``tasks``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any


def question(doc: Mapping[str, Any], lmms_eval_specific_kwargs: Mapping[str, str]) -> str:
    """Hint, question, options and what to answer with, a line each."""
    hint = [] if _is_missing(doc["hint"]) else [doc["hint"]]
    letters = takewhile(lambda letter: not _is_missing(doc.get(letter)), "ABCD")
    options = [f"{letter}. {doc[letter]}" for letter in letters]
    return "\n".join([*hint, doc["question"], *options, lmms_eval_specific_kwargs["post_prompt"]])


def _is_missing(value: object) -> bool:
    return value is None or str(value).lower() in ("nan", "none", "")


def answered(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """What `accuracy` needs of a question and its answer."""
    from lmms_eval.tasks.mmbench.en_utils import mmbench_process_results

    return {"accuracy": mmbench_process_results(doc, results)["gpt_eval_score"]}


def accuracy(results: Sequence[Mapping[str, Any]]) -> float:
    """Percent of the questions that are right in every order of their options that is asked."""
    from lmms_eval.tasks.mmbench.en_utils import mmbench_evaluator

    overall, _, _ = mmbench_evaluator.eval_result(results, eval_method="static")
    return float(100 * overall)
