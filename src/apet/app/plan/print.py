"""``apet plan`` from its options to what it prints."""

from __future__ import annotations

import json
from dataclasses import asdict

from PIL import Image

from apet.app.command import typed
from apet.app.console import output, print_table
from apet.app.files import check_size
from apet.app.known import KNOWN, configuration_of, inputs
from apet.app.plan.costs import Load, Plan, plan
from apet.app.plan.devices import DEVICES, here, spelled
from apet.core.errors import ApETError
from apet.core.words import counted, figure, one_of, read_number
from apet.methods import Stage2

HERE = "here"


def parse_size(text: str | None) -> tuple[int, int] | None:
    """``"1008x1008"``: width and height in pixels."""
    if text is None:
        return None
    width, _, height = text.partition("x")
    sides = [side for part in (width, height) if isinstance(side := read_number(part), int)]
    if len(sides) != 2 or not all(sides) or min(sides) < 0:
        raise ApETError(typed("size", "plan"), repr(text), "WIDTHxHEIGHT in pixels, such as 1008x1008")
    check_size((sides[0], sides[1]), text, typed("size", "plan"))
    return sides[0], sides[1]


def print_plan(
    model_name: str | None,
    keep: int | float,
    stage2: Stage2 | None,
    load: Load,
    *,
    device: str,
    size: tuple[int, int] | None,
    trust_remote_code: bool,
    as_json: bool,
) -> None:
    """Plans and prints, as text or as one JSON object; nothing is printed where something is refused."""
    from apet.app.loading import load_config
    from apet.app.plan.pictures import pixels_of, usual_size
    from apet.app.plan.shapes import text_of, vision_of
    from apet.app.plan.skeleton import skeleton

    spelling = spelled(device)
    if spelling not in (*DEVICES, HERE):
        raise ApETError(typed("device", "plan"), repr(device), one_of((*DEVICES, HERE), device))
    if model_name in KNOWN:
        config = configuration_of(KNOWN[model_name])
    else:
        try:
            config = load_config(model_name, trust_remote_code=trust_remote_code)
        except ApETError as error:
            expected = f"{error.expected}; without a connection {_built_in(model_name or '')}"
            raise ApETError(error.operation, error.got, expected) from error
    model = skeleton(config)
    if model_name == "video-llava-7b":
        given, pictures = inputs(model, 1), "clips of 8 frames"
    else:
        width, height = size or usual_size(model.config)
        picture = Image.new("RGB", (width, height), (200, 120, 60))
        given, whose = pixels_of(model.config, picture, trust_remote_code=trust_remote_code)
        pictures = f"pictures of {width} x {height} pixels, {whose}"
    vision, text = vision_of(model, given), text_of(model)
    about = DEVICES[spelling] if spelling in DEVICES else here()
    whole = plan(text, vision, load, about)
    short = plan(text, vision, load, about, keep, stage2)
    if as_json:
        report = {
            "model": model_name or "embedded",
            "device": asdict(about),
            "load": asdict(load),
            "pictures": pictures,
            "uncompressed": whole.report(),
            "compressed": short.report(),
        }
        print(json.dumps(report))
        return
    rows = [(*cells, f"{ratio:.2f}" if ratio else "") for *cells, ratio in _rows(whole, short)]
    print_table(("", "uncompressed", "compressed", "ratio"), rows)
    words, answer = counted(load.words, "text token"), counted(load.answer, "answer token")
    images = counted(load.images, "picture or clip" if load.images == 1 else "pictures or clip")
    output().print(
        f"[dim]{about.title}; {counted(load.batch, 'request')} of {images}, {words}, {answer}; {pictures}. "
        "Times are a roofline's: no run is faster, and ratios shrink where the host is the limit.[/dim]",
        highlight=False,
    )


def _built_in(model: str) -> str:
    """The names that need no connection: the one that is meant, if that can be told, or all."""
    bare = model.rpartition("/")[2].lower()
    return next((name for name in KNOWN if bare.startswith(name)), one_of(KNOWN, bare))


def _rows(whole: Plan, short: Plan) -> list[tuple[str, str, str, float]]:
    def row(title: str, field: str, unit: float) -> tuple[str, str, str, float]:
        before, after = getattr(whole, field), getattr(short, field)
        return title, figure(before / unit), figure(after / unit), before / after if after else 0.0

    steps = {"vision": "vision", "selection": "select", "prefill": "prefill"}
    times = steps | {"first token": "first_token", "decode, per token": "decode", "whole answer": "answer"}
    fit = short.requests / whole.requests if whole.requests else 0.0
    return [
        ("visual tokens", _tokens(whole), _tokens(short), whole.tokens / short.tokens),
        *(row(f"{title}, TFLOP", f"{name}_flops", 1e12) for title, name in steps.items()),
        *(row(f"{title}, ms", f"{name}_seconds", 1e-3) for title, name in times.items()),
        row("KV cache of a request, MB", "cache_bytes", 1e6),
        ("requests that fit", f"{whole.requests:,}", f"{short.requests:,}", fit),
    ]


def _tokens(plan: Plan) -> str:
    first = f"{plan.tokens:,}"
    return first if plan.tokens == plan.tokens_late else f"{first}, then {plan.tokens_late:,}"
