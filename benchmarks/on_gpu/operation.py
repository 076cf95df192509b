"""The operation on tensors: by how much kernels are off the core, and the times of both."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from benchmarks.on_gpu.items import Part, synchronize
from torch import Tensor
from torch.nn.functional import normalize

from apet.app.bench.ops import without_kernels
from apet.app.bench.timing import captured, copy_rate, median_and_range, milliseconds
from apet.core import Compression, compress

__all__ = ["agreement", "times", "warm"]

Size = tuple[int, int, int, int]
SIZES: tuple[Size, ...] = (  # images, tokens, width, kept
    (1, 576, 4096, 64),
    (32, 576, 4096, 64),
    (1, 2880, 4096, 320),
    (1, 16384, 3584, 3277),
    (1, 65536, 3584, 6554),
    (1, 1296, 3584, 144),
    (5, 576, 4096, 64),
    (1, 576, 1024, 96),
    (32, 576, 1024, 64),
)
TINY: tuple[Size, ...] = ((1, 12, 16, 4), (2, 12, 16, 3))  # an interpreted kernel takes its time
DECISION = ("basis", "indices", "assignment", "errors", "tokens")


def tokens(size: Size, dtype: torch.dtype, device: torch.device, seed: int = 0) -> Tensor:
    """Normal tokens on top of a part that all share, as an encoder's are."""
    batch, n, d, _ = size
    generator = torch.Generator(device).manual_seed(seed)
    x = torch.randn(batch, n, d, generator=generator, device=device)
    return x.add_(torch.randn(d, generator=generator, device=device)).to(dtype)


def by_core(x: Tensor, keep: int, **options: Any) -> Compression:
    """The same by the core."""
    with without_kernels():
        return compress(x, keep, **options)


def agreement(part: Part, sizes: Sequence[Size]) -> None:
    """Numbers, not verdicts: kernels beside the core, run after run, and alone beside in a batch."""
    dtypes = (torch.bfloat16, torch.float32, torch.float16)
    for dtype in dtypes if part.gpu else dtypes[:1]:  # the interpreter takes its time
        for size in sizes:
            if dtype == torch.bfloat16 or size[1] <= 2880:
                part.item(f"{size} {str(dtype)[6:]}", lambda s=size, t=dtype: _gaps(part, s, t), 8)


def _gaps(part: Part, size: Size, dtype: torch.dtype) -> dict[str, Any]:
    x, keep = tokens(size, dtype, part.device, seed=11), size[3]
    ours, core = compress(x, keep), by_core(x, keep)
    found: Counter[str] = Counter()
    worst = dict.fromkeys(("errors_over_norm", "cosine_gap", "means"), 0.0)
    for rows, mine, other in zip(x, ours.unbatch(), core.unbatch(), strict=True):
        found["other_basis"] += int(not torch.equal(mine.basis, other.basis))
        found["other_kept"] += keep - int(torch.isin(mine.indices, other.indices).sum())
        norms = rows.float().norm(dim=1)
        off = {"errors_over_norm": ((mine.errors - other.errors).abs() / norms).max()}
        unit = normalize(rows.double(), dim=1)
        anchors = unit[mine.indices].T
        off["cosine_gap"] = torch.stack(
            [
                (alike.amax(1) - alike.gather(1, own[:, None])[:, 0]).max()
                for block, own in zip(unit.split(4096), mine.assignment.split(4096), strict=True)
                for alike in [block @ anchors]
            ]
        ).max()
        sums = torch.zeros(keep, size[2], dtype=torch.float64, device=part.device)
        sums.index_add_(0, mine.assignment, rows.double())
        means = sums / torch.bincount(mine.assignment, minlength=keep)[:, None]
        off["means"] = (means - mine.tokens.double()).abs().max()
        worst = {name: max(value, float(off[name])) for name, value in worst.items()}
    again = [compress(x, keep) for _ in range(5)]
    same = all(torch.equal(getattr(one, n), getattr(ours, n)) for one in again for n in DECISION)
    told: dict[str, Any] = {**found, **worst, "same_bits_in_5_runs": same}
    if size[0] > 1:
        alone = compress(x[-1], keep)
        told["same_bits_alone"] = all(torch.equal(getattr(alone, n), getattr(ours, n)[-1]) for n in DECISION)
    return told


def warm(part: Part, sizes: Sequence[Size]) -> None:
    """Compiles what the other parts launch, one process for each width and dtype; Triton keeps it on disk."""
    kinds = {(d, name) for _, _, d, _ in sizes for name in ("bfloat16", "float32", "float16")}
    program = (
        "import sys, torch; from apet.core import compress\n"
        "x = torch.randn(2, 160, int(sys.argv[1]), device=sys.argv[3]).to(getattr(torch, sys.argv[2]))\n"
        "[compress(rows, keep) for rows in (x, x[:1]) for keep in (9, 140)]"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", program, str(width), name, part.device.type])
        for width, name in sorted(kinds)
    ]
    part.item("warm", lambda: [child.wait(max(1, part.left)) for child in children], 1)


def times(part: Part, sizes: Sequence[Size]) -> None:
    """Milliseconds of one call: eager and in a graph, by kernels and by the core, beside the floor."""
    rate = copy_rate(part.device)
    side = 8192 if part.gpu else 128
    a = torch.randn(side, side, device=part.device, dtype=torch.bfloat16)
    flops = 2 * side**3 / (1e-3 * _on_device(part, lambda: a @ a.T, 3)["median"])
    part.item("ceilings", lambda: {"copy_gb_per_s": rate / 1e6, "bf16_tflops": flops / 1e12}, 0)
    for dtype in (torch.bfloat16, torch.float32):
        for size in sizes if dtype == torch.bfloat16 else sizes[:3]:
            part.item(f"{size} {str(dtype)[6:]}", lambda s=size, t=dtype: _row(part, s, t, rate, flops), 10)


def _row(part: Part, size: Size, dtype: torch.dtype, rate: float, flops: float) -> dict[str, Any]:
    batch, n, width, keep = size
    x = tokens(size, dtype, part.device)

    def ours() -> object:
        return compress(x, keep, check_finite=False)

    def core() -> object:
        return by_core(x, keep, check_finite=False)

    many = 5 if part.gpu else 2
    row: dict[str, Any] = {"kernels": _wall(part, ours, 6 * many), "core": _wall(part, core, many)}
    # Ten reads of the tokens, and the products of the dropped with the kept ones.
    row["floor"] = 10 * x.numel() * x.element_size() / rate + 2e3 * batch * (n - keep) * keep * width / flops
    if part.gpu:
        row["kernels_in_a_graph"] = _on_device(part, captured(ours), 5)
        row["core_in_a_graph"] = _on_device(part, captured(core), 3)
        row["microseconds"] = _profile(ours)
        torch.cuda.empty_cache()
    return row


def _wall(part: Part, run: Callable[[], object], most: int) -> dict[str, float]:
    run()
    end = time.monotonic() + 2
    taken = []
    while len(taken) < 2 or (len(taken) < most and time.monotonic() < end):
        taken.append(milliseconds(run, part.device))
    return median_and_range(taken)


def _on_device(part: Part, run: Callable[[], object], inner: int) -> dict[str, float]:
    """Milliseconds between two events around several runs; of seven such times."""
    run()
    if not part.gpu:
        return median_and_range([milliseconds(run, part.device) for _ in range(3)])
    taken = []
    for _ in range(7):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(inner):
            run()
        end.record()
        synchronize()
        taken.append(begin.elapsed_time(end) / inner)
    return median_and_range(taken)


def _profile(run: Callable[[], object]) -> dict[str, list[float]]:
    """Microseconds and launches by kernel, of one call."""
    kinds = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=kinds) as profile:
        run()
        synchronize()
    taken = {
        event.key[:60]: [round(event.self_device_time_total, 1), event.count]
        for event in profile.key_averages()
        if event.device_type.name == "CUDA" and event.self_device_time_total
    }
    return dict(sorted(taken.items(), key=lambda pair: -pair[1][0]))
