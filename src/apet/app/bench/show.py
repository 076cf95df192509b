"""What ``apet bench`` prints and saves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from apet.app.command import typed
from apet.app.console import output
from apet.app.files import STDOUT
from apet.core.errors import ApETError
from apet.core.words import figure

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
            row["name"], *cells, f"{row['cache_bytes'] / 1e6:.2f}", peak, figure(row["images_per_second"])
        )
    console = wide_output()
    console.print(machine_in_words(report["machine"]), style="dim", highlight=False)
    console.print(table)
    console.print(
        "medians in ms: first token (smallest-largest), of it vision, selection, prefill; decode per token. "
        "KV cache in MB, peak memory in GB, pictures per second from end to end",
        style="dim",
    )
    for note in notes:
        console.print(note, markup=False)


def wide_output() -> Console:
    """For tables that have their width; a narrower terminal wraps lines rather than lose columns."""
    return Console(width=max(output().width, 110))


def machine_in_words(about: dict[str, Any]) -> str:
    """What times hold for, in one line."""
    named = {"copy_gb_per_s": "copy, GB/s", "load_before": "load before"}
    parts = []
    for name, value in about.items():
        told = figure(value) if isinstance(value, float) else str(value)
        if value is None or isinstance(value, bool):
            told = {True: "yes", False: "no", None: "unknown"}[value]
        parts.append(f"{named.get(name, name.replace('_', ' '))}: {told}")
    return ", ".join(parts)


def check_output(path: Path | None, option: str) -> None:
    """Checks that a file can be written there, before work is done for it.

    Args:
        path: The file, or None.
        option: Name of the command's parameter.

    Raises:
        ApETError: If its folder does not exist, or it is a folder itself.
    """
    if path is None:
        return
    if path.is_dir() or not path.parent.is_dir():
        what = "a folder" if path.is_dir() else "no such folder"
        raise ApETError(typed(option, "bench"), f"{path} ({what})", "a path in a folder that exists")
    if path == STDOUT:
        raise ApETError(typed(option, "bench"), "-, where the table goes", "a path in a folder that exists")


def save_report(report: dict[str, Any], path: Path) -> None:
    """Writes the report as JSON."""
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
