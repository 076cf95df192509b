"""The section on growth of docs/performance.md."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apet.core.words import figure

__all__ = ["SPREAD", "growth", "too_steep"]

SPREAD = 0.15
"""What a slope of times may be off on an idle machine."""

ABOUT = """
`python -m benchmarks.growth`: how time, and memory beyond the input, grow for `apet.compress` and for
`spread` and `greedy` in rounds; {machine}, tokens {width} wide.
A slope is the exponent of the growth, 1 for growth in proportion, in a curve's upper half, where fixed costs
no longer hide it. Beside it stands what the arithmetic asks for at most: 1, with these exceptions.

- Where a share of N is kept, N tokens are compared with K: time grows with the square of N. `spread` holds
  the likenesses of one round, N times K / 8 numbers, so its memory does in the end.
- `greedy` solves with a basis of up to K tokens, and `spread` compares the candidates of a round with each
  other, four for each that it picks: time and memory grow with the square of K as soon as that is much
  beside N times K.

Of a fixed number of kept tokens memory hardly grows with N, for the tokens are read in blocks; `spread` holds
a copy of them, their directions.

"""


def growth(report: dict[str, Any], machine: str) -> Iterator[str]:
    """The section.

    Args:
        report: What `benchmarks/growth.py` recorded.
        machine: What the times hold for, in words.
    """
    yield ABOUT.format(machine=machine, width=report["width"])
    yield "| what grows | from, to | what runs | time, ms | slope, most | memory, MB | slope, most |\n"
    yield "| --- | --- | --- | --- | --- | --- | --- |\n"
    for curve in report["curves"]:
        cells = [curve["against"], f"{curve['at'][0]}, {curve['at'][-1]}", curve["name"]]
        for name, scale in (("time", 1.0), ("memory", 1e6)):
            found = curve[name]
            low, high = (found["values"][end] / scale for end in (0, -1))
            cells += [f"{figure(low)} to {figure(high)}", f"{found['slope']:.2f}, {found['most']:g}"]
        yield "| " + " | ".join(cells) + " |\n"
    steep = too_steep(report)
    if steep:
        yield f"\nSteeper than that by more than {SPREAD}: {'; '.join(steep)}.\n"
    else:
        yield f"\nNo curve is steeper than that by more than {SPREAD}, the spread of a slope of times.\n"
    yield "\n![Time and memory against what grows](performance-growth.png)\n"


def too_steep(report: dict[str, Any]) -> list[str]:
    """The curves that grow faster than they must, in words."""
    return [
        f"{name} of {curve['name']} against {curve['against']} ({curve[name]['slope']:.2f})"
        for curve in report["curves"]
        for name in ("time", "memory")
        if curve[name]["slope"] > curve[name]["most"] + SPREAD
    ]
