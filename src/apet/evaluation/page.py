"""A report as one self-contained HTML page, with the charts; and all its files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from importlib.util import find_spec
from math import inf
from pathlib import Path
from typing import Any

from apet.core.errors import ApETError
from apet.evaluation.charts import COLOURS, MARKERS, Chart, Series, draw_chart
from apet.evaluation.configurations import FULL, SEEDED, Stages
from apet.evaluation.evaluate import Evaluation
from apet.evaluation.markdown import methods_table, notes, tables, to_markdown
from apet.evaluation.statistics import ALL, Summary
from apet.installing import install

_WORDS: dict[Stages, str] = {"off": "one stage", "paper": "the paper's two stages"}
_BIAS = (
    "At the smallest budget, one stage, over single pictures. Things are drawn at random places, so a method "
    "without bias is level, but for the picture's edges. Methods without scores are left out, but for "
    "random. ApET's score is its approximation error; an attention-based method's is the attention received."
)
_NO_CHARTS = (
    f"There are no charts, as matplotlib is not installed: `{install('plot')}`, then the same command "
    "again, which asks no question twice."
)
_LARGE, _SMALL = (6.2, 3.8), (4.4, 3.0)
"""Inches of 72 units; a chart of either size fills the width of a phone."""


@dataclass(frozen=True)
class _Section:
    """Charts under one title; their legend is of the first one's series."""

    title: str
    charts: Sequence[tuple[Chart, Sequence[Series]]]
    words: str = ""

    @property
    def legend(self) -> list[Series]:
        """What the report is about comes first, as it lies on top in the charts."""
        return list({line.key: line for _, series in self.charts for line in series[::-1]}.values())

    @property
    def plots(self) -> list[str]:
        """The charts as SVG."""
        return [draw_chart(chart, series) for chart, series in self.charts]


class _Styles:
    """Key, colour and marker of every method; a variant has its method's colour."""

    def __init__(self, result: Evaluation) -> None:
        self.names = list(dict.fromkeys(s.row.method for s in result.summaries if s.row.method != FULL))

    def line(self, name: str, points: Sequence[tuple[float, float]], **more: Any) -> Series:
        """The line of a method."""
        plain = [one.partition(":")[0] for one in self.names]
        place = self.names.index(name)
        colour = COLOURS[list(dict.fromkeys(plain)).index(plain[place]) % len(COLOURS)]
        marker = list(MARKERS)[plain[:place].count(plain[place]) % len(MARKERS)]
        return Series(name, f"k{place}", points, colour, **{"marker": marker, **more})


def _retention(result: Evaluation, styles: _Styles, task: str, stage: Stages) -> list[Series]:
    """A line per method over its budgets; a level for what keeps nothing."""
    lines: dict[str, list[Summary]] = {}
    for summary in result.summaries:
        row = summary.row
        drawn_here = row.stage2 == stage or not row.kept_tokens
        if drawn_here and row.task == task and row.method != FULL and row.retention is not None:
            lines.setdefault(row.method, []).append(summary)
    lines_drawn = []
    for method, summaries in lines.items():
        rows = sorted(summaries, key=lambda summary: summary.row.kept_tokens)
        level = not rows[0].row.kept_tokens
        ends = [s.retention_interval for s in rows if s.retention_interval is not None]
        points = [(s.row.kept_tokens, s.row.retention or 0.0) for s in rows]
        lines_drawn.append(
            styles.line(method, points, band=ends if task == ALL and not level else (), level=level)
        )
    return lines_drawn[::-1]


def _retentions(result: Evaluation, styles: _Styles) -> Iterator[_Section]:
    """For each stage a large chart of all questions with bands, and one of every task."""
    budgets = [keep for keep in result.wanted.keeps if isinstance(keep, int)]
    tasks = list(dict.fromkeys(summary.row.task for summary in result.summaries))
    titles = {task: f"{task} (not trained)" if task in result.untrained() else task for task in tasks}
    titles[ALL] = "all questions, with 95% intervals"
    for stage in result.wanted.stages:
        charts = []
        for task in tasks:
            size = _LARGE if task == ALL else _SMALL
            chart = Chart(titles[task], "visual tokens, mean over layers", "retention, %", budgets, size)
            series = _retention(result, styles, task, stage)
            if any(not line.level for line in series):
                charts.append((chart, series))
        if charts:
            yield _Section(f"Retention against tokens, {_WORDS[stage]}", charts)


def _places(result: Evaluation, styles: _Styles) -> Iterator[_Section]:
    """Kept share and score along the token sequence, at the smallest budget of each method."""
    chosen: dict[str, tuple[float, dict[str, list[float]]]] = {}
    for configuration, bands in result.bands:
        tells = any(bands["score"]) or configuration.name in SEEDED
        if (
            configuration.stage2 == "off"
            and configuration.keep is not None
            and configuration.built is not None
            and tells
        ):
            smallest, _ = chosen.get(configuration.method, (inf, {}))
            if configuration.keep < smallest:
                chosen[configuration.method] = (configuration.keep, bands)
    charts = []
    for name, title, up, factor in (
        ("kept", "Share of tokens kept", "kept, %", 100),
        ("score", "Score, relative to the picture's mean", "score", 1),
    ):
        series = [
            styles.line(
                method,
                [(100 * (n + 0.5) / len(bands[name]), factor * v) for n, v in enumerate(bands[name])],
                marker="",
            )
            for method, (_, bands) in chosen.items()
            if any(bands[name])
        ]
        chart = Chart(title, "place in the token sequence, % (top first)", up, size=_SMALL)
        charts += [(chart, series[::-1])] if series else []
    if charts:
        yield _Section("Is a place preferred?", charts, _BIAS)


def _tolerances(result: Evaluation) -> Iterator[_Section]:
    """Kept tokens by what is in the picture, where budgets follow it."""
    if not result.complexity:
        return
    series = []
    for number, (configuration, points) in enumerate(result.complexity):
        name = (
            configuration.method
            if configuration.keep is None
            else f"{configuration.method} {configuration.keep}, stage 2 {configuration.stage2}"
        )
        series.append(Series(name, f"c{number}", points, COLOURS[number % len(COLOURS)]))
    chart = Chart("Kept tokens by content", "shapes and texts in the picture", "kept tokens", size=_LARGE)
    yield _Section("Budgets that follow the picture", [(chart, series[::-1])])


def to_html(result: Evaluation) -> str:
    """The whole page, which loads nothing; where matplotlib is missing it says so in place of the charts."""
    from jinja2 import Environment, FileSystemLoader

    styles, words, sections = _Styles(result), notes(result), []
    if find_spec("matplotlib") is None:
        words.append(_NO_CHARTS)
    else:
        sections = [*_retentions(result, styles), *_places(result, styles), *_tolerances(result)]
    overall, by_task = tables(result)
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    return templates.get_template("results.html.jinja").render(
        model=result.model,
        notes=[re.sub(r"`(.+?)`", r"<code>\1</code>", escape(note)) for note in words],
        sections=sections,
        tables={
            "All questions": overall,
            "Methods beside their originals": methods_table(result),
            "Accuracy by task, %": by_task,
        },
        markers=MARKERS,
        full=FULL,
    )


def write_report(result: Evaluation, folder: Path) -> list[Path]:
    """Writes ``results.json``, ``results.md`` and ``results.html``.

    Returns:
        Their paths.

    Raises:
        ApETError: If the folder cannot be written to.
    """
    contents = {
        "results.json": json.dumps(result.as_json(), indent=1) + "\n",
        "results.md": to_markdown(result),
        "results.html": to_html(result),
    }
    try:
        for name, text in contents.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ApETError("eval --output", f"{folder} ({error.strerror})", "a writable folder") from error
    return [folder / name for name in contents]
