"""``apet bench ops``: the operation on tensors beside two short versions, its own steps and a floor."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from apet.app.bench.steps import (
    BASIS_SIZE,
    naive,
    naive_bytes,
    plain,
    steps,
    wrong_choice,
    wrong_kept,
    wrong_means,
)
from apet.app.bench.timing import captured, copy_rate, interleaved, keep_freed_memory
from apet.app.command import typed
from apet.core import compress
from apet.core.dispatch import VARIABLE, kernels_for
from apet.core.errors import ApETError
from apet.core.words import one_of, read_number
from apet.evaluation.machine import machine

_TOLERANCE = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 2e-2}


def parse_sizes(text: str) -> list[tuple[int, int, int, int]]:
    """Reads ``NxdxK`` or ``BxNxdxK``, separated by commas."""
    sizes = []
    for size in text.split(","):
        numbers = [number for part in size.split("x") if isinstance(number := read_number(part), int)]
        full = [1, *numbers] if size.count("x") == 2 else numbers
        if len(full) != 4 or min(full) < 1 or full[3] > full[1]:
            expected = "NxdxK or BxNxdxK such as 576x1024x96, with K at most N"
            raise ApETError(typed("sizes", "bench"), repr(text), expected)
        sizes.append((full[0], full[1], full[2], full[3]))
    return sizes


def pick_device(name: str | None) -> torch.device:
    """The device of a name; the GPU if there is one and no name is given."""
    available = torch.cuda.is_available()
    if name not in (None, "cpu", "cuda") or (name == "cuda" and not available):
        raise ApETError(typed("device", "bench"), repr(name), "cpu, or cuda where there is a GPU")
    return torch.device(name or ("cuda" if available else "cpu"))


def pick_dtype(name: str) -> torch.dtype:
    """The dtype of a name, out of those that are timed."""
    dtypes = {str(dtype).removeprefix("torch."): dtype for dtype in _TOLERANCE}
    if name not in dtypes:
        raise ApETError(typed("dtype", "bench"), repr(name), one_of(dtypes, name))
    return dtypes[name]


def bench_ops(
    sizes: list[tuple[int, int, int, int]], repeats: int, device: torch.device, dtype: torch.dtype
) -> dict[str, Any]:
    """Checks, then times every size: the machine, and a row per size: milliseconds, or why there are none."""
    about = machine(device) | {"keeps_freed_memory": keep_freed_memory()}
    with torch.inference_mode():
        rate = copy_rate(device)
        rows = []
        for number, size in enumerate(sizes, 1):
            print(f"size {number} of {len(sizes)}: {'x'.join(map(str, size))}", file=sys.stderr, flush=True)
            rows.append(_measure(size, repeats, device, dtype, rate))
    about |= {"dtype": str(dtype).removeprefix("torch."), "copy_gb_per_s": rate / 1e6}
    return {"machine": about, "rows": rows}


def _measure(
    size: tuple[int, int, int, int], repeats: int, device: torch.device, dtype: torch.dtype, rate: float
) -> dict[str, Any]:
    batch, n, d, keep = size
    x = torch.randn(batch, n, d, generator=torch.Generator().manual_seed(0)).to(device, dtype)
    row: dict[str, Any] = {"B": batch, "N": n, "d": d, "K": keep}
    kernels = kernels_for(x, batch, "bench ops") is not None
    free, needed = _free_bytes(device), naive_bytes(n, d, keep)
    fits = free is None or needed < free
    if not fits and not kernels:
        reason = f"the naive merge needs about {needed / 1e9:.1f} GB, {(free or 0) / 1e9:.1f} GB are free"
        return {**row, "refused": reason}
    wrong = difference(x, keep, against_core=not fits)
    if wrong:
        return {**row, "refused": wrong}
    runs: dict[str, Callable[[], object]] = {"compress": lambda: compress(x, keep)}
    if device.type == "cuda":
        runs["graph"] = captured(lambda: compress(x, keep, check_finite=False))
    if kernels:
        runs["core"] = lambda: _core(x, keep)
    else:
        runs |= steps(x, keep)
    runs["plain"] = lambda: [plain(image.float(), keep) for image in x]
    if fits:
        runs["naive"] = lambda: [naive(image.float(), keep) for image in x]
    dropped, kept = x[:, min(keep, n - 1) :], x[0, :keep].T
    runs["product"] = lambda: dropped @ kept
    counts = {name: repeats if name in ("core", "naive") else 5 * repeats for name in runs}
    row |= interleaved(runs, device, counts, cold=("naive",))
    # What cannot be avoided: M reads of the tokens and the product of the dropped with the kept ones.
    reads = BASIS_SIZE * x.numel() * x.element_size() / rate
    row["floor"] = reads + row["product"]["median"]
    row["over_floor"] = row["graph" if "graph" in runs else "compress"]["median"] / row["floor"]
    for name in ("plain", "naive"):
        if name in row:
            row[f"{name}_ratio"] = row[name]["median"] / row["compress"]["median"]
    return row


def difference(x: Tensor, keep: int, *, against_core: bool = False) -> str | None:
    """In words, where `apet.compress` and the other disagree on ``(B, N, d)``; None where they do not.

    A choice between tokens that float32 cannot tell apart may differ; see `apet.app.bench.steps`.
    """
    bound = _TOLERANCE[x.dtype]
    for image in x:
        result = compress(image, keep, basis_size=BASIS_SIZE)
        if against_core:
            expected = _core(image, keep)
            kept, merged = expected.indices, expected.tokens
        else:
            kept, merged = naive(image.float(), keep)
        wrong = wrong_kept(result.errors, result.indices, kept)
        if wrong:
            return wrong
        same = torch.equal(kept, result.indices)
        if same and torch.allclose(merged.float(), result.tokens.float(), rtol=bound, atol=bound):
            continue
        wrong = wrong_choice(image, result) or wrong_means(image, result, bound)
        if wrong:
            return wrong
    return None


def without_kernels() -> AbstractContextManager[Any]:
    """Has the core compute within a ``with`` block."""
    return mock.patch.dict(os.environ, {VARIABLE: "off"})


def _core(x: Tensor, keep: int) -> Any:
    with without_kernels():
        return compress(x, keep, basis_size=BASIS_SIZE)


def _free_bytes(device: torch.device) -> int | None:
    """Memory that is free for the taking, where the system says."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    available = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return 1024 * int(available[0]) if available else None
