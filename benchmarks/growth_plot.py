"""The curves of `benchmarks/growth.py` in small pictures: time and memory side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["draw"]


def draw(report: dict[str, Any], path: Path) -> None:
    """Draws a row of two pictures for each quantity that grows."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    rows: dict[str, list[dict[str, Any]]] = {}
    for curve in report["curves"]:
        rows.setdefault(curve["against"], []).append(curve)
    figure = Figure(figsize=(9, 2.3 * len(rows)), layout="constrained")
    for (against, drawn), pair in zip(
        rows.items(), figure.subplots(len(rows), 2, squeeze=False), strict=True
    ):
        for axes, name, unit, scale in zip(pair, ("time", "memory"), ("ms", "MB"), (1, 1e6), strict=True):
            for curve in drawn:
                values = [value / scale for value in curve[name]["values"]]
                axes.plot(curve["at"], values, marker="o", markersize=3, label=_label(curve, name))
            axes.set_xscale("log")
            axes.set_yscale("log")
            for axis, subs in ((axes.xaxis, (1, 2, 5)), (axes.yaxis, (1, 3))):
                axis.set_major_locator(LogLocator(subs=subs))
                axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
                axis.set_minor_formatter(NullFormatter())
            axes.tick_params(labelsize=7)
            axes.set_ylabel(f"{name}, {unit}")
            axes.grid(visible=True, alpha=0.3)
            axes.legend(fontsize=7)
        pair[0].set_title(against, loc="left", fontsize=9)
    figure.savefig(path)


def _label(curve: dict[str, Any], name: str) -> str:
    return f"{curve['name']}: slope {curve[name]['slope']:.2f}"
