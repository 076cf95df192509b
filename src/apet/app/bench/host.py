"""``apet bench host``: what the host pays for compression besides the selection itself."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from apet.app.bench.timing import median_and_range, turns
from apet.app.known import KNOWN, build, inputs, tiny
from apet.evaluation.machine import machine
from apet.evaluation.plain import applied
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


def bench_host(repeats: int, new_tokens: int) -> dict[str, Any]:
    """Times imports in fresh interpreters, and hooks on a model so small that little else costs time.

    Hooks have several times as many runs, by the processor's time on one thread: what else runs on the
    machine does not count. The method is random, whose choice costs next to nothing.

    Returns:
        The machine, and a row per figure in milliseconds. Hooks are what runs with them take longer than runs
        without, in pairs one after the other, less the selection.
    """
    rows = {
        "import": median_and_range([_imported() for _ in range(repeats)]),
        "help": median_and_range([_helped() for _ in range(repeats)]),
    }
    settings = tiny(KNOWN["llava-1.5-7b"])
    settings["text_config"]["num_hidden_layers"] = _LAYERS
    model = build(settings, "cpu", torch.float32)
    given = inputs(model, 1, words=16)
    ways: dict[str, Method | None] = {
        "plain": None,
        "one stage": Random(keep=_KEEP),
        "two stages": Random(keep=_KEEP, stage2=Stage2(_LAYERS // 2, _KEEP // 2)),
    }
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            prefill = _paired(ways, lambda method: _prefill(model, given, method), 10 * repeats)
            decode = _paired(ways, lambda method: _decode(model, given, method, new_tokens), 5 * repeats)
    finally:
        torch.set_num_threads(threads)
    steps = {"prefill": prefill, "decode": decode}
    for step, times in steps.items():
        for name in ("one stage", "two stages"):
            beyond = [hooked - plain for hooked, plain in zip(times[name], times["plain"], strict=True)]
            rows[f"{step}, {name}"] = median_and_range(beyond)
    plain = {step: statistics.median(times["plain"]) for step, times in steps.items()}
    return {"machine": machine(torch.device("cpu")), "plain": plain, "rows": rows}


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
    """Runs all ways in turns; the first two of each warm up."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for name in turns(dict.fromkeys(ways, count + 2)):
        times[name].append(run(ways[name]))
    return {name: taken[2:] for name, taken in times.items()}


def _prefill(model: Any, given: dict[str, Any], method: Method | None) -> float:
    with applied(model, method) as session:
        begin = time.process_time()
        model(**given, use_cache=True, logits_to_keep=1)
        taken = time.process_time() - begin
    return 1e3 * (taken - (0.0 if session is None else session.seconds))


def _decode(model: Any, given: dict[str, Any], method: Method | None, new: int) -> float:
    clock = FirstToken(time.process_time)
    with applied(model, method):
        model.generate(**given, max_new_tokens=new, min_new_tokens=new, do_sample=False, streamer=clock)
        return 1e3 * (time.process_time() - clock.at) / (new - 1)
