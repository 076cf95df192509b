"""``apet plan``'s output."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from PIL import Image
from rich.table import Table

from apet.app.command import typed
from apet.app.console import output
from apet.app.files import check_size
from apet.app.known import KNOWN, configuration_of, inputs
from apet.app.plan.costs import Load, Plan, plan
from apet.app.plan.devices import DEVICES, here, spelled
from apet.app.plan.shapes import Vision
from apet.core.errors import ApETError
from apet.core.words import counted, figure, one_of, read_number
from apet.methods import Stage2

HERE = "here"


@dataclass(frozen=True)
class PlanRequest:
    """What was asked for on the command line."""

    model: str | None
    keep: int | float
    stage2: Stage2 | None
    load: Load
    device: str
    size: tuple[int, int] | None
    trust_remote_code: bool = False


def parse_size(text: str | None) -> tuple[int, int] | None:
    """``"1008x1008"``: width and height in pixels.

    Raises:
        ApETError: If the text is not of that form.
    """
    if text is None:
        return None
    width, _, height = text.partition("x")
    sides = [side for part in (width, height) if isinstance(side := read_number(part), int)]
    if len(sides) != 2 or not all(sides) or min(sides) < 0:
        raise ApETError(typed("size", "plan"), repr(text), "WIDTHxHEIGHT in pixels, such as 1008x1008")
    check_size((sides[0], sides[1]), text, typed("size", "plan"))
    return sides[0], sides[1]


def show_plan(request: PlanRequest, *, as_json: bool) -> None:
    """Plans and prints, as text or as one JSON object.

    Raises:
        ApETError: If something in the request is not right; nothing is printed then.
    """
    from apet.app.loading import load_config
    from apet.app.plan.skeleton import skeleton
    from apet.app.plan.text import text_of

    known = spelled(request.device)
    if known not in (*DEVICES, HERE):
        expected = one_of((*DEVICES, HERE), request.device)
        raise ApETError(typed("device", "plan"), repr(request.device), expected)
    if request.model in KNOWN:
        config = configuration_of(KNOWN[request.model])
    else:
        try:
            config = load_config(request.model, trust_remote_code=request.trust_remote_code)
        except ApETError as error:
            expected = f"{error.expected}; without a connection {_built_in(request.model or '')}"
            raise ApETError(error.operation, error.got, expected) from error
    model = skeleton(config)
    vision, pictures = _seen(model, request)
    text = text_of(model)
    device = DEVICES[known] if known in DEVICES else here()
    whole = plan(text, vision, request.load, device)
    short = plan(text, vision, request.load, device, request.keep, request.stage2)
    if as_json:
        report = {
            "model": request.model or "embedded",
            "device": asdict(device),
            "load": asdict(request.load),
            "pictures": pictures,
            "uncompressed": whole.report(),
            "compressed": short.report(),
        }
        print(json.dumps(report))
        return
    table = Table("", "uncompressed", "compressed", "ratio", box=None, header_style="bold")
    for name, before, after, ratio in _rows(whole, short):
        table.add_row(name, before, after, f"{ratio:.2f}" if ratio else "")
    console = output()
    console.print(table)
    load = request.load
    each = ", ".join(
        (
            counted(load.images, "picture or clip" if load.images == 1 else "pictures or clip"),
            counted(load.words, "text token"),
            counted(load.answer, "answer token"),
        )
    )
    console.print(
        f"[dim]{device.title}; {counted(load.batch, 'request')} of {each}; {pictures}. "
        "Times are a roofline's: no run is faster, and ratios shrink where the host is the limit.[/dim]",
        highlight=False,
    )


def _seen(model: Any, request: PlanRequest) -> tuple[Vision, str]:
    """What one picture or clip costs, and what it is in words."""
    from apet.app.plan.pictures import pixels_of, usual_size
    from apet.app.plan.vision import vision_of

    if request.model == "video-llava-7b":
        return vision_of(model, inputs(model, 1)), "clips of 8 frames"
    width, height = request.size or usual_size(model.config)
    picture = Image.new("RGB", (width, height), (200, 120, 60))
    given, whose = pixels_of(model.config, picture, trust_remote_code=request.trust_remote_code)
    return vision_of(model, given), f"pictures of {width} x {height} pixels, {whose}"


def _built_in(model: str) -> str:
    """The names that need no connection: the one that is meant, if that can be told, or all."""
    bare = model.rpartition("/")[2].lower()
    return next((name for name in KNOWN if bare.startswith(name)), one_of(KNOWN, bare))


def _rows(whole: Plan, short: Plan) -> list[tuple[str, str, str, float]]:
    rows = [("visual tokens", _tokens(whole), _tokens(short), whole.tokens / short.tokens)]
    for name, field in (("vision", "vision"), ("selection", "select"), ("prefill", "prefill")):
        before, after = getattr(whole, f"{field}_flops"), getattr(short, f"{field}_flops")
        rows.append((f"{name}, TFLOP", _tera(before), _tera(after), before / after if after else 0.0))
    for name, field in (
        ("vision", "vision"),
        ("selection", "select"),
        ("prefill", "prefill"),
        ("first token", "first_token"),
        ("decode, per token", "decode"),
        ("whole answer", "answer"),
    ):
        before, after = getattr(whole, f"{field}_seconds"), getattr(short, f"{field}_seconds")
        cells = (figure(1e3 * before), figure(1e3 * after))
        rows.append((f"{name}, ms", *cells, before / after if after else 0.0))
    cells = (figure(whole.cache_bytes / 1e6), figure(short.cache_bytes / 1e6))
    rows.append(("KV cache of a request, MB", *cells, whole.cache_bytes / short.cache_bytes))
    fit = short.requests / whole.requests if whole.requests else 0.0
    rows.append(("requests that fit", f"{whole.requests:,}", f"{short.requests:,}", fit))
    return rows


def _tokens(one: Plan) -> str:
    first = f"{one.tokens:,}"
    return first if one.tokens == one.tokens_late else f"{first}, then {one.tokens_late:,}"


def _tera(flops: float) -> str:
    return figure(flops / 1e12)
