"""Line charts as SVG for pages: text stays text, in the page's own colour, light or dark."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import log2
from typing import Any
from xml.etree import ElementTree

COLOURS = [
    "#d62728",
    "#1f77b4",
    "#2ca02c",
    "#ff7f0e",
    "#9467bd",
    "#17a2b8",
    "#8c564b",
    "#e377c2",
    "#7f7f7f",
    "#bcbd22",
    "#3b5b92",
    "#4e9a06",
    "#c17d11",
    "#75507b",
]
"""Colours of series, in order; the first is for what the report is about."""
MARKERS = {"o": "●", "s": "■", "^": "▲", "D": "◆", "v": "▼"}
"""Markers as matplotlib names them, and as a legend writes them."""

_INK = "#010203"
"""Stands for the page's text colour while matplotlib draws."""
_SERIES = "series"
_SVG = "{http://www.w3.org/2000/svg}"
_LOOK: Any = {
    "svg.fonttype": "none",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.alpha": 0.15,
    "ytick.left": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    **dict.fromkeys(
        ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "grid.color"), _INK
    ),
}


@dataclass(frozen=True)
class Series:
    """One line.

    Attributes:
        name: Shown where the pointer rests.
        key: Class of its element in the page, by which a legend finds it.
        points: ``(x, y)`` in order.
        colour: As matplotlib takes it.
        marker: One of `MARKERS`; empty for none.
        band: Lower and upper end of an interval per point, or none.
        level: Whether it is a level across the whole chart; its points then give the height alone.
    """

    name: str
    key: str
    points: Sequence[tuple[float, float]]
    colour: str
    marker: str = "o"
    band: Sequence[tuple[float, float]] = field(default=())
    level: bool = False


@dataclass(frozen=True)
class Chart:
    """What a chart says around its lines.

    Attributes:
        title: Above it.
        across: Label of the horizontal axis.
        up: Label of the vertical axis.
        budgets: Of a chart over numbers of tokens: those to name on its axis, which is logarithmic then.
        size: Width and height in inches of 72 units.
    """

    title: str
    across: str
    up: str
    budgets: Sequence[float] | None = None
    size: tuple[float, float] = (4.4, 3.0)


def draw_chart(chart: Chart, series: Sequence[Series]) -> str:
    """A line chart as an ``<svg>`` element that refers to nothing outside of it; later lines lie on top."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    stream = io.StringIO()
    with mpl.rc_context({**_LOOK, "svg.hashsalt": "apet"}):  # the same numbers give the same text
        figure = Figure(chart.size, layout="constrained")
        axes = figure.subplots()
        axes.set(title=chart.title, xlabel=chart.across, ylabel=chart.up)
        for number, line in enumerate(series):
            _draw(axes, line, number)
        if chart.budgets is not None:
            _log_axis(axes, chart.budgets, [x for line in series if not line.level for x, _ in line.points])
        figure.savefig(
            stream,
            format="svg",
            transparent=True,
            metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")),
        )
    return _for_page(stream.getvalue(), chart.title, series)


def _draw(axes: Any, line: Series, number: int) -> None:
    look = {"color": line.colour, "gid": f"{_SERIES} {number}"}
    if line.level:
        axes.axhline(line.points[0][1], linestyle="--", **look)
        return
    xs, ys = zip(*line.points, strict=True)
    axes.plot(xs, ys, marker=line.marker, **look)
    if line.band:
        alone = len(xs) == 1
        faint = {"alpha": 0.5 if alone else 0.1, "linewidth": float(alone), "gid": f"{_SERIES} {number} band"}
        axes.fill_between(xs, *zip(*line.band, strict=True), **{**look, **faint})


def _log_axis(axes: Any, budgets: Sequence[float], xs: Sequence[float]) -> None:
    """Ticks at the budgets, and at powers of two where these leave room."""
    low, high = min(xs), max(xs)
    powers = [2.0**number for number in range(int(log2(low)), int(log2(high)) + 1)]
    ticks: list[float] = []
    for value in [*budgets, *powers]:
        if low <= value <= high and all(abs(log2(value / tick)) > log2(high / low) / 11 for tick in ticks):
            ticks.append(value)
    ticks.sort()
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)


def _for_page(drawn: str, title: str, series: Sequence[Series]) -> str:
    """What matplotlib drew as a part of a page, where series and points tell what they are."""
    ElementTree.register_namespace("", _SVG[1:-1])
    ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    root = ElementTree.fromstring(drawn)
    root.remove(root[0])  # a style of the whole page, by what follows one of the drawing alone
    root.attrib |= {"width": root.attrib["viewBox"].split()[2], "role": "img", "aria-label": title}
    root.attrib |= {"style": "stroke-linejoin: round; stroke-linecap: butt"}
    del root.attrib["height"]
    for group in root.iter(f"{_SVG}g"):
        kind, *number = group.attrib.pop("id", "").split() or [
            ""
        ]  # ids would be there again in the next drawing
        if kind == _SERIES:
            line, band = series[int(number[0])], number[1:]
            group.set("class", " ".join([_SERIES, line.key, *band]))
            points = [] if band else zip(group.iter(f"{_SVG}use"), _values(line), strict=True)
            for place, title_text in [(group, line.name), *points]:
                ElementTree.SubElement(place, f"{_SVG}title").text = title_text
            for mark in group.iter(f"{_SVG}use"):  # a look of the marker itself, not of every point
                look = mark.attrib.pop("style")
                for drawing in group.iterfind(f"{_SVG}defs/{_SVG}path"):
                    drawing.set("style", look)
    for part in root.iter():  # a report has thousands of points, told to a millionth
        for name in {"d", "x", "y"} & part.attrib.keys():
            part.set(name, re.sub(r"(\.\d\d)\d+", r"\1", part.attrib[name]))
    ElementTree.indent(root, "")
    return ElementTree.tostring(root, encoding="unicode").replace(_INK, "currentColor")


def _values(line: Series) -> list[str]:
    """Every point in words, if points are marked."""
    if line.level or not line.marker:
        return []
    words = [f"{line.name}: {up:.4g} at {across:.4g}" for across, up in line.points]
    ends = [f" ({low:.4g} to {high:.4g})" for low, high in line.band] or [""] * len(words)
    return [text + end for text, end in zip(words, ends, strict=True)]
