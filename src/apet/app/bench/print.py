"""What ``apet bench`` prints and saves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from apet.app.bench.host import DECODE_LIMIT, LIMITS
from apet.app.bench.steps import STEPS
from apet.app.bench.timing import spread_in_words
from apet.app.command import typed
from apet.app.console import output
from apet.app.files import STDOUT
from apet.core.errors import ApETError
from apet.core.words import figure

_PARTS = ("vision", "selection", "prefill", "decode")
_TITLES = {"copy_gb_per_s": "copy, GB/s", "load_before": "load before"}
_HOST = {"import": "import apet, beyond torch", "help": "apet --help, the interpreter's start included"}


def refused(report: dict[str, Any]) -> bool:
    """Whether a row has no times though it should."""
    return any("refused" in row for row in report["rows"])


def print_ops(report: dict[str, Any]) -> None:
    """The rows of ``bench ops``."""
    print(machine_in_words(report["machine"]))
    for row in report["rows"]:
        head = f"{row['B']} x {row['N']} x {row['d']} -> {row['K']}"
        if "refused" in row:
            print(f"{head:26} no times: {row['refused']}")
            continue
        lines = [head]
        for name in ("compress", "graph", "core", "plain", "naive"):
            if name in row:
                ratio = f", {figure(row[f'{name}_ratio'])} x compress" if f"{name}_ratio" in row else ""
                lines.append(f"{name:8s} {spread_in_words(row[name])}{ratio}")
        lines.append(f"floor    {figure(row['floor'])} ms, 1 / {row['over_floor']:.2f}")
        if STEPS[0] in row:
            lines.append("steps    " + ", ".join(f"{step} {figure(row[step]['median'])}" for step in STEPS))
        print("\n  ".join(lines))


def print_host(report: dict[str, Any]) -> None:
    """The rows of ``bench host``."""
    print(machine_in_words(report["machine"]))
    for name, times in report["rows"].items():
        step = name.split(",")[0]
        if step == "decode":
            plain = report["plain"][step]
            limit = f"{times['median'] / plain:.1%} of {figure(plain)} ms, limit {DECODE_LIMIT:.0%}"
        else:
            limit = f"limit {LIMITS[step]:g} ms"
        print(f"{_HOST.get(name, f'hooks in {name}'):46} {spread_in_words(times)}, {limit}")


def print_generate(report: dict[str, Any]) -> None:
    """The table of ``bench generate``: medians, with the spread of the first token."""
    table = Table(box=None)
    for title in ("", "first", *_PARTS, "cache", "peak", "images"):
        table.add_column(title, no_wrap=True)
    notes = []
    for row in report["rows"]:
        reason = row.get("refused") or row.get("left_out")
        if reason is not None:
            notes.append(f"{row['name']}: no times: {reason}")
            continue
        first = "{median:.1f} ({min:.1f}-{max:.1f})".format(**row["first_token"])
        cells = [first, *(f"{row[name]['median']:.1f}" for name in _PARTS)]
        peak = "" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 1e9:.2f}"
        held, speed = f"{row['cache_bytes'] / 1e6:.2f}", figure(row["images_per_second"])
        table.add_row(row["name"], *cells, held, peak, speed)
    console = _wide_output()
    console.print(machine_in_words(report["machine"]), style="dim", highlight=False)
    console.print(table)
    console.print(
        "medians in ms: first token (smallest-largest), of it vision, selection, prefill; decode per token. "
        "KV cache in MB, peak memory in GB, pictures per second from end to end",
        style="dim",
    )
    for note in notes:
        console.print(note, markup=False)


def print_predictions(report: dict[str, Any]) -> None:
    """The table of what `apet.app.bench.predicted` added."""
    console = _wide_output()
    predicted = report["predicted"]
    if "left_out" in predicted:
        console.print(f"no predictions: {predicted['left_out']}", markup=False)
        return
    steps = ("vision", "selection", "prefill", "first_token", "decode")
    table = Table("measured/predicted", *(step.replace("_", " ") for step in steps), box=None)
    for name, row in predicted["rows"].items():
        figures = {step: {key: figure(value) for key, value in row[step].items()} for step in row}
        cells = ["{measured}/{predicted} = {ratio}".format(**figures[s]) if s in row else "" for s in steps]
        table.add_row(name, *cells)
    console.print(table)
    about = predicted["device"]
    flops, bandwidth = figure(about["flops"] / 1e12), figure(about["bandwidth"] / 1e9)
    console.print(f"ms; predicted from {flops} TFLOP/s and {bandwidth} GB/s, {about['source']}", style="dim")


def _wide_output() -> Console:
    """For tables that have their width; a narrower terminal wraps lines rather than lose columns."""
    return Console(width=max(output().width, 110))


def machine_in_words(about: dict[str, Any]) -> str:
    """What times hold for, in one line."""
    parts = []
    for name, value in about.items():
        text = figure(value) if isinstance(value, float) else str(value)
        if value is None or isinstance(value, bool):
            text = {True: "yes", False: "no", None: "unknown"}[value]
        parts.append(f"{_TITLES.get(name, name.replace('_', ' '))}: {text}")
    return ", ".join(parts)


def check_output(path: Path | None, option: str) -> None:
    """Checks that a file can be written there, if one is wanted, before work is done for it."""
    if path is None:
        return
    problem = "a folder" if path.is_dir() else "no such folder"
    got = f"{path} ({problem})" if path.is_dir() or not path.parent.is_dir() else ""
    got = "-, where the table goes" if path == STDOUT else got
    if got:
        raise ApETError(typed(option, "bench"), got, "a path in a folder that exists")


def save_report(report: dict[str, Any], path: Path) -> None:
    """Writes the report as JSON."""
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
