"""Times `apet.core.compress` beside a plain restatement whose merge compares tokens by broadcasting.

    python benchmarks/ops_vs_naive.py [--sizes 576x1024x96,1296x3584x259] [--repeats 5] [--threads 2] [--json]

The plain restatement materialises the ``(N - K, K, d)`` tensor of a broadcast cosine similarity, and more
than once: at 1296x3584x259 each copy is 3.9 GB in float32 and it takes some ten seconds. Cutting it up would
no longer be the naive merge; a size whose tensors do not fit the free memory is refused.

A time is printed only if both give the same decision and the same tokens. Runs are interleaved; medians and
the spread (smallest to largest) are shown, with one matrix product ``X X[:K]^T`` as a yardstick of the
machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from apet.core import compress

BASIS_SIZE = 10
RIDGE = 1e-5


def naive(x: Tensor, keep: int) -> tuple[Tensor, Tensor]:
    """The three steps as one would first write them; returns kept indices and merged tokens."""
    picked = [int(x.norm(dim=1).argmax())]
    nearest = (x - x[picked[0]]).square().sum(1)
    while len(picked) < min(BASIS_SIZE, keep):
        picked.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, (x - x[picked[-1]]).square().sum(1))
    span = x[picked]
    weights = torch.linalg.solve(span @ span.T + RIDGE * torch.eye(len(picked)), span @ x.T).T
    errors = (x - weights @ span).norm(dim=1)
    errors[picked] = torch.inf
    kept = errors.argsort(descending=True, stable=True)[:keep].sort().values
    dropped = torch.ones(len(x), dtype=torch.bool).index_fill_(0, kept, False).nonzero().flatten()
    merged, counts = x[kept].clone(), torch.ones(keep, 1)
    if len(dropped):
        slots = torch.cosine_similarity(x[dropped, None], x[None, kept], dim=-1).argmax(1)
        merged.index_add_(0, slots, x[dropped])
        counts.index_add_(0, slots, torch.ones(len(dropped), 1))
    return kept, merged / counts


def parse_sizes(text: str) -> list[tuple[int, int, int]]:
    """Reads ``NxdxK,NxdxK``."""
    sizes: list[list[int]] = []
    try:
        sizes = [[int(part) for part in size.split("x")] for size in text.split(",")]
    except ValueError:
        sizes.clear()
    if not sizes or any(len(size) != 3 or not 1 <= size[2] <= size[0] or size[1] < 1 for size in sizes):
        raise argparse.ArgumentTypeError(
            f"got {text!r}; expected sizes such as 576x1024x96, with K at most N"
        )
    return [(size[0], size[1], size[2]) for size in sizes]


def free_bytes() -> int | None:
    """Memory that is free for the taking, where the system says."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return 1024 * int(found[0]) if found else None


def machine() -> dict[str, Any]:
    """What the times hold for."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text(encoding="utf-8").splitlines()
        name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), name)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "cpu": name,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_before": load,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def milliseconds(run: Callable[[], object]) -> float:
    """Wall time of one call."""
    begin = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - begin)


def difference(x: Tensor, keep: int) -> str | None:
    """In words, where the two disagree; None where they do not."""
    kept, merged = naive(x, keep)
    result = compress(x, keep, basis_size=BASIS_SIZE, ridge=RIDGE)
    if not torch.equal(kept, result.indices):
        return f"{int((kept != result.indices).sum())} of {keep} kept tokens differ"
    if not torch.allclose(merged, result.tokens, rtol=1e-5, atol=1e-5):
        return f"merged tokens differ by up to {float((merged - result.tokens).abs().max()):.3g}"
    return None


def measure(n: int, d: int, keep: int, repeats: int) -> dict[str, Any]:
    """Checks, then times one size; milliseconds."""
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(0))
    row: dict[str, Any] = {"N": n, "d": d, "K": keep, "naive_tensor_gb": 4 * (n - keep) * keep * d / 1e9}
    free = free_bytes()
    # Two copies can live at once: the products, and an operand broadcast.
    needed = 10 * (n - keep) * keep * d
    if free is not None and free < needed:
        return {**row, "refused": f"needs about {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free"}
    wrong = difference(x, keep)
    if wrong:
        return {**row, "refused": wrong}
    # Two calls to warm up; the slow one has run once in the check.
    for _ in range(2):
        compress(x, keep)
    runs: dict[str, list[float]] = {"compress": [], "naive": [], "product": []}
    for _ in range(repeats):
        runs["naive"].append(milliseconds(lambda: naive(x, keep)))
        for _ in range(5):
            runs["compress"].append(milliseconds(lambda: compress(x, keep)))
            runs["product"].append(milliseconds(lambda: x @ x[:keep].T))
    for name, times in runs.items():
        row[name] = {
            "median": statistics.median(times),
            "min": min(times),
            "max": max(times),
            "runs": len(times),
        }
    row["ratio"] = statistics.median(runs["naive"]) / statistics.median(runs["compress"])
    return row


def describe(row: dict[str, Any]) -> str:
    """One row of the table."""
    head = f"{row['N']} x {row['d']} -> {row['K']}".ljust(22)
    if "refused" in row:
        return f"{head} no times: {row['refused']}"
    cells = []
    for name in ("compress", "naive", "product"):
        times = row[name]
        cells.append(f"{name} {times['median']:.2f} ms ({times['min']:.2f} to {times['max']:.2f})")
    return f"{head} {'   '.join(cells)}   naive / compress {row['ratio']:.0f}x"


def main() -> int:
    """Runs all sizes; the exit code is 1 if any gave no times."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=parse_sizes, default="576x1024x96,1296x3584x259", metavar="NxdxK,...")
    parser.add_argument(
        "--repeats", type=int, default=5, help="runs of the naive merge; 5 of compress per each"
    )
    parser.add_argument("--threads", type=int, default=0, help="torch threads (default: torch's own choice)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    if options.repeats < 1 or options.threads < 0:
        parser.error("--repeats has to be at least 1 and --threads at least 0")
    if options.threads:
        torch.set_num_threads(options.threads)
    about = machine()
    if not options.json:
        print(", ".join(f"{name} {value}" for name, value in about.items()))
    rows = []
    with torch.inference_mode():
        for n, d, keep in options.sizes:
            rows.append(measure(n, d, keep, options.repeats))
            if not options.json:
                print(describe(rows[-1]), flush=True)
    if options.json:
        print(json.dumps({"machine": about, "rows": rows}))
    return int(any("refused" in row for row in rows))


if __name__ == "__main__":
    sys.exit(main())
