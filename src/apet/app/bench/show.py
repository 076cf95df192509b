"""What ``apet bench`` prints, saves and draws."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from apet.core.errors import ApETError

__all__ = ["check_output", "draw_bars", "print_generate", "refused", "save_report"]

_COLUMNS = (
    ("first", "first_token"),
    ("vision", "vision"),
    ("selection", "selection"),
    ("prefill", "prefill"),
    ("decode", "decode"),
)


def refused(report: dict[str, Any]) -> bool:
    """Whether a row has no times though it should."""
    return any("refused" in row for row in report["rows"])


def print_generate(report: dict[str, Any]) -> None:
    """The table of ``bench generate``: medians, with the spread of the first token."""
    table = Table(box=None)
    for title in ("", *(title for title, _ in _COLUMNS), "cache", "peak", "images"):
        table.add_column(title, no_wrap=True)
    notes = []
    for row in report["rows"]:
        reason = row.get("refused") or row.get("left_out")
        if reason is not None:
            notes.append(f"{row['name']}: no times: {reason}")
            continue
        cells = [f"{row[name]['median']:.1f}" for _, name in _COLUMNS]
        first = row["first_token"]
        cells[0] += f" ({first['min']:.1f}-{first['max']:.1f})"
        peak = "" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 1e9:.2f}"
        table.add_row(
            row["name"], *cells, f"{row['cache_bytes'] / 1e6:.2f}", peak, f"{row['images_per_second']:.3g}"
        )
    # The table has its width; a narrower terminal wraps lines rather than lose columns.
    console = Console(width=max(Console().width, 110))
    console.print(", ".join(f"{name} {value}" for name, value in report["machine"].items()), style="dim")
    console.print(table)
    console.print(
        "medians in ms: first token (smallest-largest), of it vision, selection, prefill; decode per token. "
        "KV cache in MB, peak memory in GB, pictures per second from end to end",
        style="dim",
    )
    for note in notes:
        console.print(note, markup=False)


def check_output(path: Path | None, option: str) -> None:
    """Checks that a file can be written there, before work is done for it.

    Raises:
        ApETError: If its folder does not exist.
    """
    if path is not None and not path.parent.is_dir():
        raise ApETError(f"bench {option}", f"{path} (no such folder)", "a path in a folder that exists")


def save_report(report: dict[str, Any], path: Path) -> None:
    """Writes the report as JSON."""
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def draw_bars(report: dict[str, Any], path: Path) -> None:
    """Draws the time to first token of every row, split into vision, selection and the rest.

    Raises:
        ApETError: If matplotlib is missing, or the picture cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ApETError("bench --plot", "no matplotlib", 'pip install "apet[plot]"') from error
    rows = [row for row in report["rows"] if "first_token" in row]
    figure = Figure(figsize=(8, 1 + 0.5 * len(rows)), layout="constrained")
    axes = figure.subplots()
    names = [row["name"] for row in rows]
    left = [0.0] * len(rows)
    for part in ("vision", "selection", "prefill"):
        widths = [row[part]["median"] for row in rows]
        axes.barh(names, widths, left=left, label=part)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.invert_yaxis()
    axes.set_xlabel("time to first token, ms (medians)")
    axes.legend()
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise ApETError("bench --plot", f"{path} ({error})", "a path ending in .png or .svg") from error
