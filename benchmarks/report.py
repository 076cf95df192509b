"""Writes docs/performance.md from what `make performance` records in benchmarks/results.

python -m benchmarks.report
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.report_gpu import NONE, on_a_gpu
from benchmarks.report_growth import growth

from apet.app.bench.host import DECODE_LIMIT, LIMITS
from apet.app.bench.steps import STEPS
from apet.core.words import counted, figure

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "performance.md"

HEAD = """# Performance

This page is made from `benchmarks/results/` by `make performance`, which takes the times anew. Times are
medians of interleaved runs in milliseconds, with the smallest and the largest in brackets. Nothing has a time
whose result was not checked: kept and merged tokens for the operation, the length of the KV cache in every
layer for a model. Differences of a few percent are within the spread of this machine.
"""
TARGETS = """
The goals for these two sizes, LLaVA-1.5's and a large picture's in Qwen2.5-VL-7B, were 2 and 20 ms on two
cores, set where such plain lines took 2.5 and 34 ms. They are not reached here. Most of the time is one
product in float32 (assign) and the nine times that farthest point sampling reads all tokens, one after
another (basis).
"""


def page(results: dict[str, Any]) -> str:
    """The page from the recorded reports, by the name of their files."""
    parts = [HEAD]
    if "generate" in results:
        parts += ["\n## The embedded model\n", *model(results["generate"])]
        parts.append("\n![Times to first token, by method](performance.png)\n")
    for report in results.get("shapes", {}).values():
        parts += [f"\n## {report['title']}\n", f"\n{report['about']}\n", *model(report)]
    if "ops" in results:
        parts += ["\n## The operation\n", *operation(results["ops"]), TARGETS]
        parts.append("\n![The operation beside plain lines, and its steps](performance-ops.png)\n")
    if "host" in results:
        parts += ["\n## The host\n", *host(results["host"])]
    if "growth" in results:
        parts += ["\n## Growth\n", *growth(results["growth"], machine(results["growth"]))]
    parts += on_a_gpu(results["gpu"], line, model) if "gpu" in results else [NONE]
    return "".join(parts)


def model(report: dict[str, Any]) -> Iterator[str]:
    """A model from pictures to answers."""
    rows = {row["name"]: row for row in report["rows"]}
    yield f"\n`apet bench generate`, {counted(report['batch'], 'picture')} of {report['visual_tokens']} "
    yield f"visual tokens, {report['kept_tokens']} kept, {report['new_tokens']} new tokens; "
    yield f"{machine(report)}.\n\n"
    titles = (
        "first token",
        "vision",
        "selection",
        "prefill",
        "decode, a token",
        "KV cache",
        "pictures a second",
    )
    yield from header("", *titles)
    for row in report["rows"]:
        if "first_token" in row:
            cells = [figure(row[name]["median"]) for name in ("vision", "selection", "prefill", "decode")]
            cells += [f"{row['cache_bytes'] / 1e6:.2f} MB", figure(row["images_per_second"])]
            yield line(row["name"], spread(row["first_token"]), *cells)
    for row in report["rows"]:
        if "first_token" not in row:
            yield f"\nNo times for {row['name']}: {row.get('refused') or row.get('left_out')}.\n"
    if all("first_token" in rows[name] for name in ("uncompressed", "apet", "oracle")):
        whole, ours, oracle = (rows[name] for name in ("uncompressed", "apet", "oracle"))
        first = ours["first_token"]["median"]
        ratio = whole["first_token"]["median"] / first
        yield f"\nApET's first token comes {ratio:.2f} times as fast as uncompressed; selection is "
        yield f"{ours['selection']['median'] / first:.1%} of it. From end to end ApET reaches "
        yield f"{oracle['total']['median'] / ours['total']['median']:.1%} of the speed of the oracle, the "
        yield "same model given as many tokens that nobody had to choose.\n"
    yield from predictions(report.get("predicted", {}))


def predictions(predicted: dict[str, Any]) -> Iterator[str]:
    """What ``apet plan`` said, beside what was measured."""
    if "rows" not in predicted:
        return
    about = predicted["device"]
    yield f"\nWhat `apet plan --device here` predicts from {figure(about['flops'] / 1e12)} TFLOP/s and "
    yield f"{figure(about['bandwidth'] / 1e9)} GB/s ({about['source']}), as measured / predicted. It is a "
    yield "roofline: a lower bound as far as these rates are the best that the machine has.\n\n"
    steps = ("vision", "selection", "prefill", "first_token", "decode")
    yield from header("", *(step.replace("_", " ") for step in steps))
    for name, found in predicted["rows"].items():
        ones = [found.get(step) for step in steps]
        yield line(name, *(error(one) if one else "" for one in ones))


def error(one: dict[str, float]) -> str:
    """A measured time by a predicted one."""
    return f"{figure(one['measured'])} / {figure(one['predicted'])} = {one['ratio']:.2f}"


def operation(report: dict[str, Any]) -> Iterator[str]:
    """The operation on tensors."""
    kept = ", glibc told to keep freed memory" if report["machine"].get("keeps_freed_memory") else ""
    yield "\n`apet bench ops`: `apet.compress` beside the method in 25 plain lines of torch, and beside the "
    yield f"same lines with similarities by broadcasting (naive); {machine(report)}{kept}. The floor is the "
    yield "time to read the tokens 10 times at the copy rate, "
    yield f"{figure(report['machine']['copy_gb_per_s'])} GB/s, and one product of the dropped with the kept "
    yield "tokens.\n\n"
    rows = [row for row in report["rows"] if "compress" in row]
    names = [name for name in ("graph", "core", "plain", "naive") if any(name in row for row in rows)]
    titles = ("compress", *names, "floor", "compress / floor", "plain / compress", "naive / compress")
    yield from header("images x tokens x width, kept", *titles)
    for row in report["rows"]:
        if row not in rows:
            yield line(_size(row), f"no times: {row['refused']}", *[""] * (len(titles) - 1))
            continue
        cells = [spread(row[name]) if name in row else "" for name in ("compress", *names)]
        ratios = [figure(row[key]) if key in row else "" for key in ("plain_ratio", "naive_ratio")]
        yield line(_size(row), *cells, figure(row["floor"]), f"{row['over_floor']:.2f}", *ratios)
    if any(STEPS[0] in row for row in rows):
        yield "\nWhere the time goes: the steps of the core by themselves, medians.\n\n"
        yield from header("images x tokens x width, kept", *STEPS)
        for row in rows:
            if STEPS[0] in row:
                yield line(_size(row), *(figure(row[step]["median"]) for step in STEPS))


def _size(row: dict[str, Any]) -> str:
    return f"{row['B']} x {row['N']} x {row['d']}, {row['K']}"


def host(report: dict[str, Any]) -> Iterator[str]:
    """What the host pays."""
    yield f"\n`apet bench host`, {machine(report)}: imports in fresh interpreters; hooks on a model of "
    yield "32 layers so thin that little else costs time, beyond the same runs without hooks, and less the "
    yield "selection.\n\n"
    yield from header("", "time", "limit")
    said = {
        "import": "`import apet`, beyond torch",
        "help": "`apet --help` from the start of the interpreter",
    }
    for name, times in report["rows"].items():
        step = name.split(",")[0]
        limit = (
            f"{LIMITS[step]:g}"
            if step in LIMITS
            else f"{DECODE_LIMIT * report['plain'][step]:.2f}, 2% of a token"
        )
        yield line(said.get(name, f"hooks, {name}"), spread(times), limit)


def machine(report: dict[str, Any]) -> str:
    """What the times hold for."""
    about = report["machine"]
    where = (
        about.get("gpu")
        or f"{counted(about['threads'], 'thread')} on {counted(about['cores'], 'core')} of {about['cpu']}"
    )
    kind = f", {about['dtype']}" if "dtype" in about else ""
    load = "" if about["load_before"] is None else f", load {about['load_before']:.1f} before"
    return f"{where}{kind}, torch {about['torch']}, {about['date']}{load}"


def spread(times: dict[str, float]) -> str:
    """Median, smallest and largest."""
    return f"{figure(times['median'])} ({figure(times['min'])} to {figure(times['max'])})"


def header(*titles: str) -> Iterator[str]:
    """The first two lines of a table."""
    yield line(*titles)
    yield line(*["---"] * len(titles))


def line(*cells: str) -> str:
    """One line of a table."""
    return "| " + " | ".join(cells) + " |\n"


def main() -> None:
    """Reads all, writes the page."""
    results = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in RESULTS.glob("*.json")}
    PAGE.write_text(page(results), encoding="utf-8")


if __name__ == "__main__":
    main()
