"""``apet bench host``: what the host pays for compression besides the selection itself."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import torch

from apet.app.bench.timing import spread
from apet.app.known import KNOWN, build, inputs, tiny
from apet.core.words import figure
from apet.evaluation.machine import machine
from apet.hf import compressing
from apet.hf.first_token import FirstToken
from apet.methods import Method, Random, Stage2

LIMITS = {"import": 300.0, "help": 500.0, "prefill": 1.0}
"""Milliseconds that each may take."""

DECODE_LIMIT = 0.02
"""Share of a token's time that hooks may take in decode: what is lost in its spread."""

_IMPORT = """
import time
import torch
begin = time.perf_counter()
import apet
apet.compress, apet.ApET
print(1e3 * (time.perf_counter() - begin))
"""
_HELP = "from apet.app.main import run; run()"
_KEEP = 8
_LAYERS = 32  # as many as a 7B model has, so as many hooks


def bench_host(repeats: int, new_tokens: int = 24) -> dict[str, Any]:
    """Times imports in fresh interpreters, and hooks on a model so small that little else costs time.

    Args:
        repeats: Runs of each; hooks have ten times as many.
        new_tokens: Tokens that the runs for decode generate.

    Returns:
        The machine, and a row per figure in milliseconds. Hooks are what runs with them take longer than runs
        without, in pairs one after the other, less the selection.
    """
    rows: dict[str, dict[str, float]] = {
        "import": spread([_imported() for _ in range(repeats)]),
        "help": spread([_helped() for _ in range(repeats)]),
    }
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows |= (hooks := _hooks(repeats, new_tokens))["rows"]
    finally:
        torch.set_num_threads(threads)
    return {"machine": machine(torch.device("cpu")), "plain": hooks["plain"], "rows": rows}


def _hooks(repeats: int, new_tokens: int) -> dict[str, Any]:
    """Time of the processor, on one thread: what else runs on the machine does not count.

    The method is random, whose choice costs next to nothing.
    """
    settings = tiny(KNOWN["llava-1.5-7b"])
    settings["text_config"]["num_hidden_layers"] = _LAYERS
    model = build(settings, "cpu", torch.float32)
    given = inputs(model, 1, words=16)
    ways: dict[str, Method | None] = {
        "plain": None,
        "one stage": Random(keep=_KEEP),
        "two stages": Random(keep=_KEEP, stage2=Stage2(_LAYERS // 2, _KEEP // 2)),
    }
    with torch.inference_mode():
        prefill = _paired(ways, lambda method: _prefill(model, given, method), 10 * repeats)
        decode = _paired(ways, lambda method: _decode(model, given, method, new_tokens), 5 * repeats)
    rows = {}
    for step, times in (("prefill", prefill), ("decode", decode)):
        for name in ("one stage", "two stages"):
            beyond = [one - plain for one, plain in zip(times[name], times["plain"], strict=True)]
            rows[f"{step}, {name}"] = spread(beyond)
    plain = {"prefill": statistics.median(prefill["plain"]), "decode": statistics.median(decode["plain"])}
    return {"plain": plain, "rows": rows}


def describe_host(report: dict[str, Any]) -> list[str]:
    """The rows in words."""
    said = {
        "import": "import apet, beyond torch",
        "help": "apet --help, the interpreter's start included",
    }
    lines = []
    for name, times in report["rows"].items():
        head = said.get(name, f"hooks in {name}").ljust(46)
        step = name.split(",")[0]
        line = f"{head} {figure(times['median'])} ms ({figure(times['min'])} to {figure(times['max'])})"
        if step == "decode":
            plain = report["plain"][step]
            line += f", {times['median'] / plain:.1%} of {figure(plain)} ms, limit {DECODE_LIMIT:.0%}"
        else:
            line += f", limit {LIMITS[step]:g} ms"
        lines.append(line)
    return lines


def _imported() -> float:
    done = subprocess.run([sys.executable, "-c", _IMPORT], capture_output=True, text=True, check=True)
    return float(done.stdout)


def _helped() -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", _HELP, "--help"], capture_output=True, check=True)
    return 1e3 * (time.perf_counter() - begin)


def _paired(
    ways: Mapping[str, Method | None], run: Callable[[Method | None], float], count: int
) -> dict[str, list[float]]:
    """Runs all ways in turns."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(count + 2):
        for name, method in ways.items():
            taken = run(method)
            if turn >= 2:  # the first ones warm up
                times[name].append(taken)
    return times


def _prefill(model: Any, given: dict[str, Any], method: Method | None) -> float:
    with nullcontext() if method is None else compressing(model, method) as session:
        begin = time.process_time()
        model(**given, use_cache=True, logits_to_keep=1)
        taken = time.process_time() - begin
    return 1e3 * (taken - (0.0 if session is None else session.seconds))


def _decode(model: Any, given: dict[str, Any], method: Method | None, new: int) -> float:
    clock = FirstToken(time.process_time)
    with nullcontext() if method is None else compressing(model, method):
        model.generate(**given, max_new_tokens=new, min_new_tokens=new, do_sample=False, streamer=clock)
        return 1e3 * (time.process_time() - clock.at) / (new - 1)
