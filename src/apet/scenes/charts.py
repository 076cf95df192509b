"""Charts with printed labels: bars, and two lines over time."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from apet.scenes.drawing import Pixels, background, blend, finish, jittered, print_text
from apet.scenes.masks import char_pitch, line_height, shape_mask
from apet.scenes.questions import Question
from apet.scenes.scene import SIZE, Region
from apet.scenes.vocabulary import LETTERS

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_COLOURS = ("red", "orange", "green", "blue", "purple")
_LEFT, _RIGHT, _TOP, _FLOOR = 24, 320, 52, 286
_LABEL, _VALUE = 17, 15


@dataclass(frozen=True)
class Chart:
    """One chart: values from 10 to 99 under labels, one series of them for bars and two for lines.

    ``seed`` fixes the paper's texture and the shading of the colours.
    """

    seed: int
    kind: Literal["bars", "lines"]
    labels: tuple[str, ...]
    colours: tuple[str, ...]
    series: tuple[tuple[int, ...], ...]


def sample_chart(rng: np.random.Generator) -> Chart:
    """A chart of 4 to 6 bars, or of two lines over 5 months. No two values of a series are alike."""
    kind: Literal["bars", "lines"] = "bars" if rng.random() < 0.5 else "lines"
    count = int(rng.integers(4, 7)) if kind == "bars" else 5
    series: tuple[tuple[int, ...], ...]
    if kind == "bars":
        codes = ["".join(rng.choice(list(LETTERS), 3)) for _ in range(4 * count)]
        labels = tuple(dict.fromkeys(codes))[:count]
        series = (tuple(int(v) for v in rng.choice(np.arange(10, 100), count, replace=False)),)
        colours = tuple(str(c) for c in rng.choice(_COLOURS, count if rng.random() < 0.5 else 1))
    else:
        first = int(rng.integers(0, len(_MONTHS)))
        labels = tuple(_MONTHS[(first + i) % len(_MONTHS)] for i in range(count))
        series = _two_lines(rng, count)
        colours = tuple(str(c) for c in rng.choice(_COLOURS, 2, replace=False))
    return Chart(int(rng.integers(2**31)), kind, labels, colours, series)


def _two_lines(rng: np.random.Generator, count: int) -> tuple[tuple[int, ...], ...]:
    """Two series that are far enough apart everywhere for both printed values to be read."""
    while True:
        pair = tuple(
            tuple(int(v) for v in rng.choice(np.arange(10, 100), count, replace=False)) for _ in range(2)
        )
        if all(abs(a - b) >= 16 for a, b in zip(*pair, strict=True)):
            return pair


def ask_chart(rng: np.random.Generator, chart: Chart) -> list[Question]:
    """Asks for printed values, and which is highest, lowest or higher."""
    i = int(rng.integers(len(chart.labels)))
    if chart.kind == "bars":
        (values,) = chart.series
        questions = [
            (f"what is the value of {chart.labels[i]}?", str(values[i])),
            ("which bar is highest?", chart.labels[int(np.argmax(values))]),
            ("which bar is lowest?", chart.labels[int(np.argmin(values))]),
        ]
    else:
        line = int(rng.integers(2))
        higher = int(chart.series[1][i] > chart.series[0][i])
        first, second = chart.colours
        questions = [
            (
                f"what is the value of the {chart.colours[line]} line in {chart.labels[i]}?",
                str(chart.series[line][i]),
            ),
            (
                f"which line is higher in {chart.labels[i]}, the {first} line or the {second} line?",
                chart.colours[higher],
            ),
            (
                f"in which month is the {chart.colours[line]} line highest?",
                chart.labels[int(np.argmax(chart.series[line]))],
            ),
        ]
    return [Question(chart.kind, text, answer) for text, answer in questions]


def _height(value: int) -> int:
    """Pixels from the top at which a value lies."""
    return round(_FLOOR - value / 100 * (_FLOOR - _TOP))


def _centred(canvas: Pixels, text: str, ink: Pixels, x: float, top: int, size: int) -> None:
    width = char_pitch(size) * len(text)
    left = min(max(round(x - width / 2), 2), SIZE - width - 2)
    print_text(canvas, text, ink, left, top, size)


def draw_chart(chart: Chart) -> NDArray[np.uint8]:
    """Draws a chart, ``(336, 336, 3)``; the same chart always gives the same pixels."""
    rng = np.random.default_rng(chart.seed)
    paper = background(rng, True, Region())
    canvas = np.asarray(0.2 * paper + 0.8 * np.float32(rng.uniform(236, 250)), np.float32)
    ink = rng.uniform(15, 50, 3).astype(np.float32)
    for value in (25, 50, 75, 100):
        blend(canvas, np.full((1, _RIGHT - _LEFT), 0.35, np.float32), ink, _LEFT, _height(value))
    step = (_RIGHT - _LEFT) / len(chart.labels)
    middles = [_LEFT + step * (i + 0.5) for i in range(len(chart.labels))]
    colours = [jittered(rng, name) for name in chart.colours]
    if chart.kind == "bars":
        _draw_bars(canvas, chart, middles, colours, ink, round(step * 0.62))
    else:
        _draw_lines(canvas, chart, middles, colours)
    blend(canvas, np.full((2, _RIGHT - _LEFT), 0.95, np.float32), ink, _LEFT, _FLOOR)
    for label, x in zip(chart.labels, middles, strict=True):
        _centred(canvas, label, ink, x, _FLOOR + 10, _LABEL)
    return finish(canvas)


def _draw_bars(
    canvas: Pixels, chart: Chart, middles: list[float], colours: list[Pixels], ink: Pixels, width: int
) -> None:
    shade = np.linspace(10, -10, width, dtype=np.float32)[None, :, None]
    for i, (value, x) in enumerate(zip(chart.series[0], middles, strict=True)):
        top = _height(value)
        colour = colours[i % len(colours)] + np.broadcast_to(shade, (_FLOOR - top, width, 1))
        blend(canvas, np.ones((_FLOOR - top, width), np.float32), colour, round(x - width / 2), top)
        _centred(canvas, str(value), ink, x, top - line_height(_VALUE) - 4, _VALUE)


def _draw_lines(canvas: Pixels, chart: Chart, middles: list[float], colours: list[Pixels]) -> None:
    dot = shape_mask("circle", 4.5, 0.0)
    reach = dot.shape[0] // 2
    lower = [min(a, b) for a, b in zip(*chart.series, strict=True)]
    for values, colour in zip(chart.series, colours, strict=True):
        places = [(x, _height(value)) for x, value in zip(middles, values, strict=True)]
        for (x0, y0), (x1, y1) in pairwise(places):
            _stroke(canvas, x0, y0, x1, y1, colour)
        for (x, y), value, least in zip(places, values, lower, strict=True):
            blend(canvas, dot, colour, round(x) - reach, y - reach)
            above = y - line_height(_VALUE) - 7
            top = y + 8 if value == least and y + 8 + line_height(_VALUE) < _FLOOR else above
            _centred(canvas, str(value), colour * np.float32(0.75), x, top, _VALUE)


def _stroke(canvas: Pixels, x0: float, y0: float, x1: float, y1: float, colour: Pixels) -> None:
    """A line three pixels wide, from left to right."""
    left, right = round(x0), round(x1)
    top, bottom = round(min(y0, y1)) - 3, round(max(y0, y1)) + 4
    x = np.arange(left, right, dtype=np.float32)[None, :]
    y = np.arange(top, bottom, dtype=np.float32)[:, None]
    slope = (y1 - y0) / (x1 - x0)
    distance = np.abs(y - y0 - slope * (x - x0)) / np.hypot(1, slope)
    blend(canvas, np.clip(2 - distance, 0, 1).astype(np.float32), colour, left, top)
