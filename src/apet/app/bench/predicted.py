"""What ``apet plan`` says of the rows of ``apet bench generate``, beside what they took."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from apet.app.plan.costs import Load, plan
from apet.app.plan.devices import Device
from apet.app.plan.shapes import text_of, vision_of
from apet.app.plan.skeleton import skeleton
from apet.core.errors import ApETError
from apet.methods import Stage2


def add_predictions(
    report: dict[str, Any],
    config: Any,
    given: dict[str, Any],
    device: Device,
    words: int,
    stages: tuple[int, Stage2],
) -> None:
    """Adds ``"predicted"`` to a report: milliseconds by row and step, and measured by predicted.

    ``given`` are the inputs of one row, and ``words`` its text tokens. ``stages`` are what the first stage of
    the two-stage row keeps, and its second stage.
    """
    load = Load(report["batch"], 1, words, report["new_tokens"])
    ways: dict[str, tuple[int | None, Stage2 | None]] = {"uncompressed": (None, None)}
    ways |= {"apet": (report["keep"], None), "apet, two stages": stages}
    try:
        model = skeleton(config)
        text, vision = text_of(model), vision_of(model, given)
        plans = {name: plan(text, vision, load, device, *way) for name, way in ways.items()}
    except ApETError as error:
        report["predicted"] = {"left_out": str(error)}
        return
    rows = {row["name"]: row for row in report["rows"]}
    predictions: dict[str, Any] = {}
    for name, one in plans.items():
        seconds = {
            "vision": one.vision_seconds,
            "selection": one.select_seconds,
            "prefill": one.prefill_seconds,
            "first_token": one.first_token_seconds,
            "decode": one.decode_seconds,
        }
        for step, value in seconds.items():
            if value and step in rows[name]:
                entry = {"predicted": 1e3 * value, "measured": rows[name][step]["median"]}
                entry["ratio"] = entry["measured"] / entry["predicted"]
                predictions.setdefault(name, {})[step] = entry
    report["predicted"] = {"device": asdict(device), "rows": predictions}
