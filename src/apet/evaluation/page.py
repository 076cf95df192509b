"""A report as one self-contained HTML page, with the plots."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from apet.evaluation.configurations import FULL, SEEDED, Configuration, Stages
from apet.evaluation.evaluate import Evaluation
from apet.evaluation.markdown import Table, notes, tables
from apet.evaluation.statistics import ALL, Summary
from apet.evaluation.svg import COLOURS, Chart, Series, draw_chart, legend

__all__ = ["to_html"]

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1420px; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: 3px 10px; text-align: left; border-bottom: 1px solid #8884; white-space: nowrap; }
tr.full { font-weight: bold; }
.wide { overflow-x: auto; }
.plots { display: flex; flex-wrap: wrap; gap: 12px; }
.key { margin-right: 18px; white-space: nowrap; }
"""
_DASHES = ("", "6 3", "2 3", "8 3 2 3", "12 4")
_WORDS: dict[Stages, str] = {"off": "one stage", "paper": "the paper's two stages"}


def _styles(result: Evaluation) -> dict[str, dict[str, Any]]:
    """Colour and dashes of every method; a variant has its method's colour."""
    names = dict.fromkeys(s.row.method for s in result.summaries if s.row.method != FULL)
    plain = list(dict.fromkeys(name.partition(":")[0] for name in names))
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        place = plain.index(name.partition(":")[0])
        variants = sum(1 for other in found if other.partition(":")[0] == plain[place])
        dashes = _DASHES[min(variants, len(_DASHES) - 1)]
        found[name] = {"colour": COLOURS[place % len(COLOURS)], "dashes": dashes}
    return found


def _retention(result: Evaluation, task: str, stage: Stages, *, bars: bool) -> list[Series]:
    """A line per method over its budgets; a level for what keeps nothing."""
    styles = _styles(result)
    lines: dict[str, list[Summary]] = {}
    for summary in result.summaries:
        row = summary.row
        drawn_here = row.stage2 == stage or not row.kept_tokens
        if drawn_here and row.task == task and row.method != FULL and row.retention is not None:
            lines.setdefault(row.method, []).append(summary)
    found = []
    for method, summaries in lines.items():
        rows = sorted(summaries, key=lambda summary: summary.row.kept_tokens)
        points = [(s.row.kept_tokens, s.row.retention or 0.0) for s in rows]
        level = not rows[0].row.kept_tokens
        ends = [s.retention_interval for s in rows if s.retention_interval is not None]
        drawn = ends if bars and not level else ()
        found.append(Series(method, points, bars=drawn, level=level, **styles[method]))
    # What the report is about lies on top.
    return found[::-1]


def _retention_plots(result: Evaluation) -> str:
    parts = []
    for stage in result.wanted.stages:
        across = "visual tokens, mean over layers"
        whole = _retention(result, ALL, stage, bars=True)
        if not any(not series.level for series in whole):
            continue
        parts.append(f"<h2>Retention against tokens, {_WORDS[stage]}</h2>")
        parts.append(legend(whole[::-1]))
        large = Chart("all questions", across, "retention, %", log=True, width=700, height=420)
        plots = [draw_chart(large, whole)]
        for task in dict.fromkeys(s.row.task for s in result.summaries if s.row.task != ALL):
            series = _retention(result, task, stage, bars=False)
            title = f"{task} (not trained)" if task in result.untrained() else task
            if any(not one.level for one in series):
                plots.append(draw_chart(Chart(title, across, "retention, %", True, 340, 240), series))
        parts.append(f'<div class="plots">{"".join(plots)}</div>')
    return "".join(parts)


def _position_plots(result: Evaluation) -> str:
    """Kept share and score along the token sequence, at the smallest budget of each method."""
    styles = _styles(result)
    chosen: dict[str, tuple[Configuration, dict[str, list[float]]]] = {}
    for one, bands in result.bands:
        tells = any(bands["score"]) or one.name in SEEDED
        if one.stage2 == "off" and one.keep is not None and one.built is not None and tells:
            before = chosen.get(one.method)
            if before is None or before[0].keep is None or one.keep < before[0].keep:
                chosen[one.method] = (one, bands)
    plots: list[str] = []
    drawn: list[Series] = []
    for name, title, up in (
        ("kept", "Share of tokens kept", "kept, %"),
        ("score", "Score, relative to the picture's mean", "score"),
    ):
        series = []
        for method, (_, bands) in chosen.items():
            values = bands[name]
            if name == "score" and not any(values):
                continue
            factor = 100 if name == "kept" else 1
            points = [(100 * (n + 0.5) / len(values), factor * v) for n, v in enumerate(values)]
            series.append(Series(method, points, **styles[method]))
        if series:
            chart = Chart(
                title, "place in the token sequence, % (top of the picture first)", up, False, 620, 340
            )
            plots.append(draw_chart(chart, series[::-1]))
            drawn += series
    if not plots:
        return ""
    return (
        "<h2>Is a place preferred?</h2><p>At the smallest budget, one stage, over single pictures. Things "
        "are drawn at random places, so a method without bias is level, but for the picture's edges. Methods "
        "without scores are left out, but for random. ApET's score is its approximation error; an "
        "attention-based method's is the attention received.</p>"
        f'{legend(drawn)}<div class="plots">{"".join(plots)}</div>'
    )


def _complexity_plot(result: Evaluation) -> str:
    if not result.complexity:
        return ""
    series = [
        Series(
            one.method if one.keep is None else f"{one.method} {one.keep}, stage 2 {one.stage2}",
            [(float(things), kept) for things, kept in points],
            COLOURS[number % len(COLOURS)],
        )
        for number, (one, points) in enumerate(result.complexity)
    ]
    chart = Chart("Kept tokens by content", "shapes and texts in the picture", "kept tokens", False, 620, 340)
    return (
        "<h2>Budgets that follow the picture</h2>"
        f'{legend(series)}<div class="plots">{draw_chart(chart, series)}</div>'
    )


def _table(table: Table) -> str:
    head, rows = table
    cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(_line(row) for row in rows)
    return f'<div class="wide"><table><tr>{cells}</tr>{body}</table></div>'


def _line(row: Sequence[str]) -> str:
    kind = ' class="full"' if row[0] == FULL else ""
    return f"<tr{kind}>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"


def to_html(result: Evaluation) -> str:
    """The whole page; it loads nothing from elsewhere."""
    overall, by_task = tables(result)
    words = "".join(f"<p>{escape(note)}</p>" for note in notes(result))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>apet eval</title>'
        f"<style>{_STYLE}</style></head><body><h1>What a budget costs: {escape(result.model)}</h1>{words}"
        f"{_retention_plots(result)}{_position_plots(result)}{_complexity_plot(result)}"
        f"<h2>All questions</h2>{_table(overall)}<h2>Accuracy by task, %</h2>{_table(by_task)}"
        "</body></html>\n"
    )
