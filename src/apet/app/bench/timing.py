"""Taking times: interleaved runs, medians and spreads."""

from __future__ import annotations

import ctypes
import statistics
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from apet.app.command import typed
from apet.core.errors import ApETError
from apet.core.words import figure
from apet.hf.clock import Clock

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
_ENCODERS = ("vision_tower", "visual", "vision_model", "video_tower", "image_tower")


def milliseconds(run: Callable[[], object], device: torch.device) -> float:
    """Wall time of one call, the device's work included."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    begin = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return 1e3 * (time.perf_counter() - begin)


def captured(run: Callable[[], object]) -> Callable[[], object]:
    """The same work in a CUDA graph, whose replay leaves the host's launches out."""
    for _ in range(2):
        run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    replay: Callable[[], object] = graph.replay
    return replay


def keep_freed_memory() -> bool:
    """Has glibc keep what tensors free, until the process ends; False where there is no glibc.

    Otherwise it gives large pieces back to the system, or does not, depending on what was allocated before:
    the same code can then take several times as long, for memory and not for arithmetic.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, 1 << 30) and mallopt(_TRIM_THRESHOLD, (1 << 31) - 1))


def copy_rate(device: torch.device) -> float:
    """Bytes per millisecond that are read plus written, by a copy far larger than the caches."""
    source = torch.ones((1 << 31 if device.type == "cuda" else 1 << 26) // 4, device=device)
    target = torch.empty_like(source)
    times = [milliseconds(lambda: target.copy_(source), device) for _ in range(5)]
    return 2 * source.numel() * source.element_size() / min(times)


def median_and_range(times: list[float]) -> dict[str, float]:
    """Median, smallest and largest."""
    return {"median": statistics.median(times), "min": min(times), "max": max(times), "runs": len(times)}


def spread_in_words(times: Mapping[str, float]) -> str:
    """A `median_and_range` of milliseconds in words."""
    return f"{figure(times['median'])} ms ({figure(times['min'])} to {figure(times['max'])})"


def turns(repeats: Mapping[str, int]) -> Iterator[str]:
    """Names in turns, each as often as it says, so that a slow moment hits all alike."""
    most = max(repeats.values(), default=0)
    for turn in range(most):
        for name, count in repeats.items():
            if (turn + 1) * count // most > turn * count // most:  # fewer ones are spread over the turns
                yield name


def interleaved(
    runs: Mapping[str, Callable[[], object]],
    device: torch.device,
    repeats: Mapping[str, int],
    cold: Collection[str] = (),
) -> dict[str, dict[str, float]]:
    """Times every run as often as it should be, in turns.

    Right before each timed run the same one runs untimed, so none finds the caches full of another's data;
    not those named in ``cold``, which are too slow for that to matter.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    for name in turns(repeats):
        if name not in cold:
            runs[name]()
        times[name].append(milliseconds(runs[name], device))
    return {name: median_and_range(taken) for name, taken in times.items()}


@contextmanager
def watched(model: Any, device: torch.device) -> Iterator[list[Clock]]:
    """Times a model's vision encoder within the block: a clock for each of its calls."""
    encoders = [
        encoder for name in _ENCODERS if (encoder := getattr(model.base_model, name, None)) is not None
    ]
    if not encoders:
        got = f"a {type(model).__name__}"
        raise ApETError(typed(otherwise="bench generate"), got, "a model with a vision encoder")
    clocks: list[Clock] = []

    def begin(*_: Any) -> None:
        clocks.append(Clock(device).__enter__())

    def end(*_: Any) -> None:
        clocks[-1].__exit__(None, None, None)

    handles = [encoder.register_forward_pre_hook(begin) for encoder in encoders]
    handles += [encoder.register_forward_hook(end) for encoder in encoders]
    try:
        yield clocks
    finally:
        for handle in handles:
            handle.remove()
