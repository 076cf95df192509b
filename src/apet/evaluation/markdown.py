"""A report as Markdown: what every budget costs, in all and by task."""

from __future__ import annotations

from collections.abc import Sequence

from apet.core.words import figure
from apet.evaluation.configurations import FULL
from apet.evaluation.evaluate import Evaluation
from apet.evaluation.statistics import ALL, REFERENCE, Row, Summary
from apet.methods import METHODS, Attended
from apet.methods import rows as methods_rows

Table = tuple[list[str], list[list[str]]]
"""Head and rows of a table, as text."""


def budget_of(row: Row) -> str:
    """A budget in words: what was asked for, and what every layer saw."""
    steps = []
    for number, (first, tokens) in enumerate(row.schedule):
        count = f"{tokens:.4g}"
        steps.append(count if number == 0 else f"{count} from layer {first}")
    return ", then ".join(steps)


def _overall(summary: Summary) -> dict[str, str]:
    """The cells of a row by their titles."""
    row = summary.row
    low, high = row.interval
    retained = _shown(row.retention, ".1f")
    if row.method != FULL and summary.retention_interval is not None:
        retained += " ({:.1f} to {:.1f})".format(*summary.retention_interval)
    spread = "" if summary.seeds == 1 else "{:.1f} to {:.1f}".format(*(100 * x for x in summary.spread))
    ahead = [100 * x for x in summary.ahead or ()]
    times = ["" if time is None else figure(time) for time in (row.select_ms, row.first_token_s, row.total_s)]
    if row.timed_tokens is not None and abs(row.timed_tokens - row.kept_tokens) > 0.01 * row.kept_tokens:
        times[1] += f" at {row.timed_tokens:.0f} tokens"
    return {
        "method": row.method,
        "budget": _shown(row.keep),
        "tokens by layer": budget_of(row),
        "mean tokens": f"{row.kept_tokens:.1f}",
        "accuracy %": f"{100 * row.accuracy:.1f} ({100 * low:.1f} to {100 * high:.1f})",
        "retention %": retained,
        f"points beside {REFERENCE}": "{:+.1f} ({:+.1f} to {:+.1f})".format(*ahead) if ahead else "",
        "changed %": f"{100 * row.changed:.1f}",
        "seeds": spread,
        **dict(zip(("select ms", "first token s", "in all s"), times, strict=True)),
    }


def tables(result: Evaluation) -> tuple[Table, Table]:
    """The two tables of a report: all questions together, and accuracy by task."""
    names = list(dict.fromkeys(s.row.task for s in result.summaries if s.row.task != ALL))
    untrained = result.untrained()
    by_task: dict[tuple[str, str, str], dict[str, Row]] = {}
    for row in (summary.row for summary in result.summaries):
        by_task.setdefault((row.method, _shown(row.keep), row.stage2), {})[row.task] = row
    tasks = [[*key, *(f"{100 * rows[name].accuracy:.1f}" for name in names)] for key, rows in by_task.items()]
    marked = [f"{name} (not trained)" if name in untrained else name for name in names]
    overall = _table([_overall(summary) for summary in result.summaries if summary.row.task == ALL])
    return overall, (["method", "budget", "stage 2", *marked], tasks)


def brief(result: Evaluation) -> Table:
    """All questions together, in columns that fit a terminal."""
    return _table(
        [
            {
                "method": row.method,
                "budget": _shown(row.keep),
                "stage 2": row.stage2,
                "mean tokens": f"{row.kept_tokens:.1f}",
                "right %": f"{100 * row.accuracy:.1f}",
                "retention %": _shown(row.retention, ".1f"),
                "changed %": f"{100 * row.changed:.1f}",
                "first token s": _shown(row.first_token_s, ".3f"),
            }
            for row in (summary.row for summary in result.summaries)
            if row.task == ALL
        ]
    )


def _shown(value: float | None, form: str = "") -> str:
    """A figure in a cell; empty where there is none."""
    return "" if value is None else format(value, form)


def _table(cells: Sequence[dict[str, str]]) -> Table:
    return list(cells[0]), [list(row.values()) for row in cells]


def methods_table(result: Evaluation) -> Table:
    """Every method beside its original: a line per method and a column per budget, in one stage.

    A cell is the percentage of right answers, the milliseconds of selecting in brackets, and the mean tokens
    where these are others than the budget. What has no budget, or a bound of its own, is in the last column.
    """
    originals = {row.name: row for row in methods_rows()}
    cells: dict[str, dict[str, str]] = {}
    for summary in result.summaries:
        row = summary.row
        if row.task == ALL and row.stage2 == "off":
            cells.setdefault(row.method, {})[_shown(row.keep)] = _right(row)
    columns = [str(keep) for keep in result.wanted.keeps]
    table = []
    for method, by_budget in cells.items():
        method_row = originals.get(method.partition(":")[0])
        original = (
            method_row.published if method_row is not None else "no compression" if method == FULL else ""
        )
        needs = ", ".join(method_row.needs) if method_row is not None else ""
        prompt = " (the prompt decides)" if method_row is not None and not method_row.blind else ""
        table.append(
            [
                method,
                original or "-",
                (needs or "-") + prompt,
                *(by_budget.get(key, "") for key in (*columns, "")),
            ]
        )
    return ["method", "original", "told besides the tokens", *columns, "no count"], table


def _right(row: Row) -> str:
    cell = f"{100 * row.accuracy:.1f}"
    if row.select_ms:
        cell += f" ({figure(row.select_ms)} ms)"
    if not isinstance(row.keep, int) or abs(row.kept_tokens - row.keep) > 0.01 * row.keep:
        cell += f" at {row.kept_tokens:.0f}"
    return cell


def notes(result: Evaluation) -> list[str]:
    """What a reader has to know beside the tables."""
    whole = next(s.row for s in result.summaries if s.row.task == ALL)
    counts = {s.row.task: s.row.n for s in result.summaries if s.row.task != ALL}
    task_counts = ", ".join(f"{name} {count}" for name, count in counts.items())
    lines = [
        f"Model: {result.model}. {whole.n} questions of the split "
        f"`{result.wanted.split}` ({task_counts}); an answer is right if it is the same but for case, spaces "
        "and a full stop.",
        "In brackets: 95% bootstrap intervals, drawing pictures with all their questions. Retention is "
        f"accuracy in percent of the uncompressed model's. Points beside {REFERENCE}: how far accuracy is "
        "above that method's at the same budget, question by question, with the interval of that difference. "
        "Changed: answers that differ from the uncompressed model's, right or wrong. Seeds: least and "
        "largest accuracy among the seeds of a method that draws by chance.",
        f"Tokens per question; their mean is over the {result.layers} decoder layers. A budget of stage 2 "
        "`paper` is that mean: half as many again up to the middle layer, half as many behind it.",
        "Times are medians over a few questions asked alone through plain `generate` calls (where these kept "
        "another number of tokens on average, it stands beside the time), on "
        f"{'; '.join(result.machines)}. "
        f"{result.same[0]} of these {result.same[1]} answers are those that the tables count."
        if result.machines
        else "No times were taken.",
    ]
    if result.untrained():
        lines.append("Not trained: " + ", ".join(result.untrained()) + ". Their figures say little.")
    reading = sorted({s.row.method for s in result.summaries if _reads_encoder(s.row.method)})
    if result.model == "embedded" and reading:
        lines.append(
            "Nothing trained the embedded model's last CLS query, whose attention "
            f"{', '.join(reading)} read: these rows measure noise."
        )
    lines += [f"Not run: {line}" for line in result.refused]
    return lines


def _reads_encoder(method: str) -> bool:
    kind = METHODS.get(method.partition(":")[0])
    return kind is not None and issubclass(kind, Attended) and kind.reads == "vision"


def _as_markdown(table: Table) -> list[str]:
    head, rows = table
    return [_cells(head), _cells(["---"] * len(head)), *map(_cells, rows)]


def _cells(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def to_markdown(result: Evaluation) -> str:
    """The whole report."""
    overall, by_task = tables(result)
    lines = [
        f"# What a budget costs: {result.model}",
        "",
        *(line for note in notes(result) for line in (note, "")),
    ]
    lines += ["## All questions", "", *_as_markdown(overall), ""]
    lines += [
        "## Methods beside their originals",
        "",
        "One stage: percent right, milliseconds to select, and the mean tokens where they differ.",
        "",
        *_as_markdown(methods_table(result)),
        "",
    ]
    lines += ["## Accuracy by task, %", "", *_as_markdown(by_task), ""]
    return "\n".join(lines)
