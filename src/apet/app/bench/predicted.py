"""What ``apet plan`` says of the rows of ``apet bench generate``, beside what they took."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.table import Table

from apet.app.bench.show import wide_output
from apet.app.plan.costs import Load, plan
from apet.app.plan.devices import Device
from apet.app.plan.skeleton import skeleton
from apet.app.plan.text import text_of
from apet.app.plan.vision import vision_of
from apet.core.errors import ApETError
from apet.core.words import figure
from apet.methods import Stage2

_STEPS = ("vision", "selection", "prefill", "first_token", "decode")


def add_predictions(
    report: dict[str, Any],
    config: Any,
    given: dict[str, Any],
    device: Device,
    words: int,
    stages: tuple[int, Stage2] | None = None,
) -> None:
    """Adds ``"predicted"`` to a report: milliseconds by row and step, and measured by predicted.

    Args:
        report: What `bench_generate` returned.
        config: The model's configuration.
        given: The inputs of one row.
        device: What it ran on, as measured.
        words: Text tokens of a row.
        stages: What the first stage of the two-stage row keeps, and its second stage.
    """
    load = Load(report["batch"], 1, words, report["new_tokens"])
    keep = report["keep"]
    ways: dict[str, tuple[int | None, tuple[int, int | float] | None]] = {
        "uncompressed": (None, None),
        "apet": (keep, None),
    }
    if stages is not None:
        first, stage2 = stages
        ways["apet, two stages"] = (first, (stage2.layer, stage2.keep))
    try:
        model = skeleton(config)
        text, vision = text_of(model), vision_of(model, given)
        plans = {name: plan(text, vision, load, device, *way) for name, way in ways.items()}
    except ApETError as error:
        report["predicted"] = {"left_out": str(error)}
        return
    rows = {row["name"]: row for row in report["rows"]}
    found: dict[str, Any] = {}
    for name, one in plans.items():
        seconds = (
            one.vision_seconds,
            one.select_seconds,
            one.prefill_seconds,
            one.first_token_seconds,
            one.decode_seconds,
        )
        for step, value in zip(_STEPS, seconds, strict=True):
            if value and step in rows[name]:
                entry = {"predicted": 1e3 * value, "measured": rows[name][step]["median"]}
                entry["ratio"] = entry["measured"] / entry["predicted"]
                found.setdefault(name, {})[step] = entry
    report["predicted"] = {"device": asdict(device), "rows": found}


def print_predictions(report: dict[str, Any]) -> None:
    """A table of them."""
    console = wide_output()
    predicted = report["predicted"]
    if "left_out" in predicted:
        console.print(f"no predictions: {predicted['left_out']}", markup=False)
        return
    table = Table("measured/predicted", *(step.replace("_", " ") for step in _STEPS), box=None)
    for name, steps in predicted["rows"].items():
        table.add_row(name, *(_cell(steps.get(step)) for step in _STEPS))
    console.print(table)
    about = predicted["device"]
    flops, bandwidth = figure(about["flops"] / 1e12), figure(about["bandwidth"] / 1e9)
    console.print(f"ms; predicted from {flops} TFLOP/s and {bandwidth} GB/s, {about['source']}", style="dim")


def _cell(step: dict[str, float] | None) -> str:
    if step is None:
        return ""
    return f"{figure(step['measured'])}/{figure(step['predicted'])} = {figure(step['ratio'])}"
