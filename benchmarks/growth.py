"""How time and memory grow: with tokens, kept tokens, basis tokens, batch, images and frames, on this CPU.

    python -m benchmarks.growth [--output growth.json] [--plot growth.png]
    python -m benchmarks.growth --tiny    # few points and narrow tokens, to see that all of it runs

Times are the smallest of a few runs in turns. Memory is the most that torch's allocator held at a time beyond
the input, as its profiler counts: it has no spread. A slope is that of a line through the upper half of a
curve on logarithmic axes, where fixed costs no longer hide it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from math import log
from pathlib import Path
from statistics import linear_regression
from typing import Any

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # or the profiler says that it begins and ends

import torch
from benchmarks.growth_curves import Curve, Run, curves
from benchmarks.growth_plot import draw
from torch.profiler import ProfilerActivity, profile

from apet.app.bench.print import save_report
from apet.app.bench.timing import keep_freed_memory, milliseconds
from apet.core.words import figure
from apet.evaluation.machine import machine

RUNS, ENOUGH = 5, 400.0
"""Most runs of a point, and milliseconds of a point after which there is no other."""


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Reads the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("growth.json"))
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--tiny", action="store_true", help="to see that all of it runs")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Runs all, and prints each curve's slopes."""
    options = parse(arguments)
    width, points = (8, 3) if options.tiny else (1024, 0)
    cpu = torch.device("cpu")
    report: dict[str, Any] = {
        "machine": machine(cpu) | {"keeps_freed_memory": keep_freed_memory()},
        "width": width,
        "curves": [],
    }
    with torch.inference_mode():
        for curve in curves(width, points):
            report["curves"].append(measured(curve))
            print(described(report["curves"][-1]), flush=True)
    save_report(report, options.output)
    if options.plot is not None:
        draw(report, options.plot)
    return 0


def measured(curve: Curve) -> dict[str, Any]:
    """A curve's times in milliseconds, memory in bytes, and slopes."""
    memory = [most_held(curve.make(value)) for value in curve.at]
    times: list[list[float]] = [[] for _ in curve.at]
    for _ in range(RUNS):
        for value, taken in zip(curve.at, times, strict=True):
            if sum(taken) < ENOUGH:
                taken.append(milliseconds(curve.make(value), torch.device("cpu")))
    smallest = [min(taken) for taken in times]
    return {
        "against": curve.against,
        "name": curve.name,
        "at": curve.at,
        "time": {"values": smallest, "slope": slope(curve.at, smallest), "most": curve.time},
        "memory": {"values": memory, "slope": slope(curve.at, memory), "most": curve.memory},
    }


def most_held(run: Run) -> int:
    """Bytes that a run held at most in memory that it asked for, its result included."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    held = most = 0
    for event in sorted((one for one in events if one["name"] == "[memory]"), key=lambda one: one["ts"]):
        held += event["args"]["Bytes"]
        most = max(most, held)
    return most


def slope(at: tuple[int, ...], values: list[float]) -> float:
    """Exponent of the growth in the upper half of the points, at least three of them."""
    points = max(3, len(at) // 2)
    line = linear_regression([log(x) for x in at[-points:]], [log(y) for y in values[-points:]])
    return line.slope


def described(curve: dict[str, Any]) -> str:
    """A curve in one line."""
    parts = [f"{curve['against']}: {curve['name']}".ljust(76)]
    for name, unit, scale in (("time", "ms", 1.0), ("memory", "MB", 1e6)):
        found = curve[name]
        ends = " to ".join(figure(found["values"][end] / scale) for end in (0, -1))
        parts.append(f"{name} {ends} {unit}, slope {found['slope']:.2f} of {found['most']:g}")
    return "  ".join(parts)


if __name__ == "__main__":
    sys.exit(main())
