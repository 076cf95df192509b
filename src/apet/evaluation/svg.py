"""Line charts as SVG text: small, sharp, and readable in light and dark pages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

__all__ = ["COLOURS", "Chart", "Series", "draw_chart", "legend"]

COLOURS = (
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
)
"""Colours of series, in order; the first is for what the report is about."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 28, 40


@dataclass(frozen=True)
class Series:
    """One line.

    Attributes:
        name: Shown where the pointer rests, and in the legend.
        points: ``(x, y)`` in order.
        colour: Any CSS colour.
        bars: Lower and upper end of an interval per point, or none.
        level: Whether it is a level across the whole chart; its points then give the height alone.
        dashes: Lengths of dashes and gaps; empty for a solid line.
    """

    name: str
    points: Sequence[tuple[float, float]]
    colour: str
    bars: Sequence[tuple[float, float]] = field(default=())
    level: bool = False
    dashes: str = ""


@dataclass(frozen=True)
class Chart:
    """What a chart says around its lines.

    Attributes:
        title: Above it.
        across: Label of the horizontal axis.
        up: Label of the vertical axis.
        log: Whether the horizontal axis is logarithmic, with ticks at powers of two.
        width: Pixels.
        height: Pixels.
    """

    title: str
    across: str
    up: str
    log: bool = False
    width: int = 460
    height: int = 300


class _Frame:
    """Where numbers lie on the chart."""

    def __init__(self, chart: Chart, series: Sequence[Series]) -> None:
        self.chart = chart
        xs = [x for one in series if not one.level for x, _ in one.points]
        ys = [y for one in series for _, y in one.points] + [y for one in series for b in one.bars for y in b]
        self.x0, self.x1 = (min(xs), max(xs)) if xs else (1.0, 2.0)
        if self.x0 == self.x1:
            self.x0, self.x1 = self.x0 * 0.9, self.x1 * 1.1 + 1e-9
        low, high = min(ys), max(ys)
        self.step = _nice_step(max(high - low, 1e-9) / 5)
        self.y0 = math.floor(low / self.step) * self.step
        self.y1 = max(math.ceil(high / self.step - 1e-9) * self.step, self.y0 + self.step)

    def x(self, value: float) -> float:
        """Pixels from the left."""
        low, high = self.x0, self.x1
        if self.chart.log:
            value, low, high = math.log(value), math.log(low), math.log(high)
        return _LEFT + 8 + (value - low) / (high - low) * (self.chart.width - _LEFT - _RIGHT - 16)

    def y(self, value: float) -> float:
        """Pixels from the top."""
        share = (value - self.y0) / (self.y1 - self.y0)
        return self.chart.height - _BOTTOM - share * (self.chart.height - _TOP - _BOTTOM)

    def x_ticks(self) -> list[float]:
        """Values to label across."""
        if self.chart.log:
            powers = range(math.ceil(math.log2(self.x0) - 1e-9), math.floor(math.log2(self.x1) + 1e-9) + 1)
            return [2.0**power for power in powers] or [self.x0]
        step = _nice_step((self.x1 - self.x0) / 6)
        first = math.ceil(self.x0 / step - 1e-9)
        return [step * number for number in range(first, math.floor(self.x1 / step + 1e-9) + 1)]

    def y_ticks(self) -> list[float]:
        """Values to label upwards."""
        return [self.y0 + self.step * n for n in range(round((self.y1 - self.y0) / self.step) + 1)]


def _nice_step(rough: float) -> float:
    base = 10.0 ** math.floor(math.log10(rough))
    return next(base * factor for factor in (1, 2, 5, 10) if base * factor >= rough - 1e-12)


def _number(value: float) -> str:
    return f"{value:.6g}"


def draw_chart(chart: Chart, series: Sequence[Series]) -> str:
    """A line chart.

    Args:
        chart: Title, labels and size.
        series: Lines, at least one with a point; later ones lie on top.

    Returns:
        An ``<svg>`` element.
    """
    frame = _Frame(chart, series)
    right, bottom = chart.width - _RIGHT, chart.height - _BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {chart.width} {chart.height}" '
        f'width="{chart.width}" height="{chart.height}" font-family="sans-serif" font-size="11" '
        f'fill="currentColor" role="img" aria-label="{escape(chart.title)}">',
        f'<text x="{_LEFT}" y="16" font-size="13" font-weight="bold">{escape(chart.title)}</text>',
    ]
    for value in frame.y_ticks():
        y = frame.y(value)
        parts.append(
            f'<path d="M{_LEFT} {y:.1f}H{right}" stroke="currentColor" stroke-opacity="0.15"/>'
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_number(value)}</text>'
        )
    for value in frame.x_ticks():
        x = frame.x(value)
        parts.append(
            f'<path d="M{x:.1f} {bottom}v4" stroke="currentColor"/>'
            f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{_number(round(value, 1))}</text>'
        )
    middle = (_TOP + bottom) / 2
    parts.append(
        f'<path d="M{_LEFT} {bottom}H{right}" stroke="currentColor"/>'
        f'<text x="{(_LEFT + right) / 2}" y="{chart.height - 6}" text-anchor="middle">'
        f"{escape(chart.across)}</text>"
        f'<text transform="translate(13 {middle}) rotate(-90)" text-anchor="middle">{escape(chart.up)}</text>'
    )
    parts += [_line(one, frame, right) for one in series]
    return "".join([*parts, "</svg>"])


def _line(one: Series, frame: _Frame, right: int) -> str:
    name, colour = escape(one.name), escape(one.colour)
    if one.level:
        y = frame.y(one.points[0][1])
        return (
            f'<path d="M{_LEFT} {y:.1f}H{right}" stroke="{colour}"{_dashes(one)} stroke-width="1.5">'
            f"<title>{name}: {_number(round(one.points[0][1], 2))}</title></path>"
        )
    places = [(frame.x(x), frame.y(y)) for x, y in one.points]
    parts = [
        f'<path d="M{x:.1f} {frame.y(low):.1f}V{frame.y(high):.1f}" stroke="{colour}" stroke-opacity="0.45"/>'
        for (x, _), (low, high) in zip(places, one.bars, strict=False)
    ]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    dashes = _dashes(one)
    parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.8"{dashes}/>')
    for (x, y), (across, up) in zip(places, one.points, strict=True):
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{colour}">'
            f"<title>{name}: {_number(round(up, 2))} at {_number(round(across, 1))}</title></circle>"
        )
    return "".join(parts)


def _dashes(one: Series) -> str:
    pattern = "5 4" if one.level else one.dashes
    return f' stroke-dasharray="{escape(pattern)}"' if pattern else ""


def legend(series: Sequence[Series]) -> str:
    """Names and colours, once each, as HTML."""
    seen = {one.name: one for one in series}
    items = (
        f'<span class="key"><svg width="22" height="10"><path d="M0 5H22" stroke="{escape(one.colour)}" '
        f'stroke-width="2.5"{_dashes(one)}/></svg> '
        f"{escape(name)}</span>"
        for name, one in seen.items()
    )
    return f'<p class="legend">{"".join(items)}</p>'
