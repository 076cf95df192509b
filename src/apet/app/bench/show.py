"""What ``apet bench`` prints and saves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from apet.core.errors import ApETError

__all__ = ["check_output", "print_generate", "refused", "save_report"]

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
