"""What ``apet bench`` draws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from apet.app.bench.steps import STEPS
from apet.app.command import typed
from apet.core.errors import ApETError
from apet.installing import install

_WAYS = ("graph", "compress", "core", "plain", "naive")
_HEIGHT = 0.5


def draw_first_tokens(report: dict[str, Any], path: Path) -> None:
    """Draws the time to first token of every row, split into vision, selection and the rest."""
    rows = [row for row in report["rows"] if "first_token" in row]
    figure = _figure(8, 1 + _HEIGHT * len(rows))
    axes = figure.subplots()
    _stack(axes, {row["name"]: row for row in rows}, ("vision", "selection", "prefill"))
    axes.set_xlabel("time to first token, ms (medians)")
    _save(figure, path)


def draw_ops(report: dict[str, Any], path: Path) -> None:
    """Draws every size: its ways beside the floor, and the steps of the core where they were timed."""
    rows = [row for row in report["rows"] if "compress" in row]
    figure = _figure(10, 2.2 * max(len(rows), 1))
    grid = figure.subplots(max(len(rows), 1), 2, squeeze=False)
    for row, (ways, parts) in zip(rows, grid, strict=False):
        names = [name for name in _WAYS if name in row]
        medians = [row[name]["median"] for name in names]
        spread = [
            [row[name]["median"] - row[name]["min"] for name in names],
            [row[name]["max"] - row[name]["median"] for name in names],
        ]
        ways.barh(names, medians, xerr=spread, height=_HEIGHT, color="tab:blue", ecolor="tab:gray")
        ways.axvline(row["floor"], color="tab:red", linestyle="--", label="floor")
        ways.set_xscale("log")
        ways.invert_yaxis()
        ways.set_title(f"{row['B']} x {row['N']} x {row['d']}, {row['K']} kept", loc="left", fontsize=10)
        ways.legend(loc="upper right")
        if STEPS[0] in row:
            _stack(parts, {"compress": row}, STEPS)
        else:
            parts.set_axis_off()
    for axes in grid[-1]:
        axes.set_xlabel("ms (medians, smallest to largest)" if axes is grid[-1][0] else "ms (medians)")
    _save(figure, path)


def _stack(axes: Any, rows: dict[str, dict[str, Any]], parts: tuple[str, ...]) -> None:
    """A bar per row, made of its parts."""
    begins = [0.0] * len(rows)
    for part in parts:
        widths = [row[part]["median"] for row in rows.values()]
        axes.barh(list(rows), widths, left=begins, height=_HEIGHT, label=part)
        begins = [a + b for a, b in zip(begins, widths, strict=True)]
    axes.invert_yaxis()
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))


def _figure(width: float, height: float) -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ApETError(typed("plot", "bench"), "no matplotlib", install("plot")) from error
    return Figure(figsize=(width, height), layout="constrained")


def _save(figure: Any, path: Path) -> None:
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise ApETError(
            typed("plot", "bench"), f"{path} ({error})", "a path ending in .png or .svg"
        ) from error
