"""Every method that was run beside its original: what it is told, its accuracy, and its time to select."""

from __future__ import annotations

from apet.core.words import figure
from apet.evaluation.configurations import FULL
from apet.evaluation.evaluate import Evaluation
from apet.evaluation.statistics import ALL, Row
from apet.methods import rows


def methods_table(result: Evaluation) -> tuple[list[str], list[list[str]]]:
    """Head and rows of a table with a line per method and a column per budget, in one stage.

    A cell is the percentage of right answers, the milliseconds of selecting in brackets, and the mean tokens
    where these are others than the budget. What has no budget, or a bound of its own, is in the last column.
    """
    known = {row.name: row for row in rows()}
    cells: dict[str, dict[str, str]] = {}
    for summary in result.summaries:
        row = summary.row
        if row.task == ALL and row.stage2 == "off":
            cells.setdefault(row.method, {})["" if row.keep is None else str(row.keep)] = _cell(row)
    columns = [str(keep) for keep in result.wanted.keeps]
    table = []
    for method, found in cells.items():
        told = known.get(method.partition(":")[0])
        original = told.published if told is not None else "no compression" if method == FULL else ""
        needs = ", ".join(told.needs) if told is not None else ""
        prompt = " (the prompt decides)" if told is not None and not told.blind else ""
        table.append(
            [
                method,
                original or "-",
                (needs or "-") + prompt,
                *(found.get(key, "") for key in (*columns, "")),
            ]
        )
    return ["method", "original", "told besides the tokens", *columns, "no count"], table


def _cell(row: Row) -> str:
    cell = f"{100 * row.accuracy:.1f}"
    if row.select_ms:
        cell += f" ({figure(row.select_ms)} ms)"
    if not isinstance(row.keep, int) or abs(row.kept_tokens - row.keep) > 0.01 * row.keep:
        cell += f" at {row.kept_tokens:.0f}"
    return cell
