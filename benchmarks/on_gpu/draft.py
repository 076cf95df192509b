"""One part of the GPU plan per call: ``python on_gpu.py PART --out FOLDER [--tiny] [--seconds S]``.

Parts: smoke, warm, ops, e2e, waits. Every result is written the moment it is there (``FOLDER/PART.json``), a failed
item is recorded with its traceback and the next one runs, and nothing starts that the seconds left would not hold.
Checks are recorded as numbers beside the times, and never keep a time from being recorded: that is judged later.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import traceback
import warnings
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

BEGIN = time.monotonic()
PARSER = argparse.ArgumentParser()
PARSER.add_argument("part")
PARSER.add_argument("--out", type=Path, required=True)
PARSER.add_argument("--tiny", action="store_true")
PARSER.add_argument("--seconds", type=float, default=120.0)
PARSER.add_argument("--only", default="")
PARSER.add_argument("--name", default="")
ASKED = PARSER.parse_args()
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ["APET_KERNELS"] = "on" if ASKED.part in ("smoke", "warm", "ops") else "auto"
import torch  # noqa: E402

GPU = torch.cuda.is_available()
if not GPU and ASKED.part in ("smoke", "warm", "ops"):
    os.environ["TRITON_INTERPRET"] = "1"
DEVICE = torch.device("cuda" if GPU else "cpu")
import apet  # noqa: E402
from apet.core import compress  # noqa: E402

REPORT: dict = {
    "part": ASKED.part,
    "torch": torch.__version__,
    "gpu": torch.cuda.get_device_name() if GPU else None,
    "items": {},
}
# Most wanted first. B, N, d, K.
SIZES = [
    (1, 576, 4096, 64),
    (32, 576, 4096, 64),
    (1, 2880, 4096, 320),
    (1, 16384, 3584, 3277),
    (1, 65536, 3584, 6554),
    (1, 1296, 3584, 144),
    (5, 576, 4096, 64),
    (1, 576, 1024, 96),
    (32, 576, 1024, 64),
]
if ASKED.tiny:
    SIZES = [(1, 40, 32, 9), (2, 30, 16, 5)]


def left() -> float:
    return ASKED.seconds - (time.monotonic() - BEGIN)


def save() -> None:
    ASKED.out.mkdir(parents=True, exist_ok=True)
    (ASKED.out / f"{ASKED.name or ASKED.part}.json").write_text(json.dumps(REPORT, indent=1, default=str))


def item(name: str, run, needs: float = 5.0) -> None:
    if left() < needs:
        REPORT["items"][name] = {"left_out": f"{left():.0f} s left"}
    else:
        try:
            REPORT["items"][name] = run()
        except BaseException as error:  # noqa: BLE001
            if isinstance(error, KeyboardInterrupt):
                raise
            REPORT["items"][name] = {"error": repr(error)[:500], "trace": traceback.format_exc()[-3000:]}
            if GPU and "CUDA error" in repr(
                error
            ):  # the context is gone: nothing more can run in this process
                save()
                print(name, json.dumps(REPORT["items"][name], default=str)[:1500], flush=True)
                sys.exit(3)
    save()
    told = (
        "done"
        if ASKED.part == "e2e" and "rows" in REPORT["items"][name]
        else json.dumps(REPORT["items"][name], default=str)[:900]
    )
    print(f"[{time.monotonic() - BEGIN:5.0f} s] {name}: {told}", flush=True)


def sync() -> None:
    if GPU:
        torch.cuda.synchronize()


def tokens(size, dtype, seed=0):
    b, n, d, _ = size
    g = torch.Generator(DEVICE).manual_seed(seed)
    x = torch.randn(b, n, d, generator=g, device=DEVICE)
    return x.add_(torch.randn(d, generator=g, device=DEVICE)).to(
        dtype
    )  # a part that all share, as in an encoder


def wall(run, most=30, seconds=2.0):
    run()
    sync()
    times, end = [], time.monotonic() + seconds
    while len(times) < most and (len(times) < 3 or time.monotonic() < end):
        sync()
        t = time.perf_counter()
        run()
        sync()
        times.append(1e3 * (time.perf_counter() - t))
    return {"median": statistics.median(times), "min": min(times), "max": max(times), "runs": len(times)}


def events(run, inner=10, outer=9):
    """Milliseconds of one run on the device, between two events around several; median of several."""
    if not GPU:
        return wall(run, 3)
    run()
    sync()
    times = []
    for _ in range(outer):
        a, b = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        a.record()
        for _ in range(inner):
            run()
        b.record()
        sync()
        times.append(a.elapsed_time(b) / inner)
    return {"median": statistics.median(times), "min": min(times), "max": max(times), "runs": outer}


def core(x, keep, **options):
    before = os.environ["APET_KERNELS"]
    os.environ["APET_KERNELS"] = "off"
    try:
        return compress(x, keep, **options)
    finally:
        os.environ["APET_KERNELS"] = before


def gaps(size, dtype) -> dict:
    """By how much the kernels are off the core, in numbers."""
    x, keep = tokens(size, dtype, seed=11), size[3]
    ours, theirs = compress(x, keep), core(x, keep)
    found = Counter()
    for image in range(size[0]):
        a, b = ours.errors[image].double(), theirs.errors[image].double()
        found["basis_equal"] += int(torch.equal(ours.basis[image], theirs.basis[image]))
        kept = [
            torch.zeros(size[1], dtype=torch.bool, device=DEVICE).index_fill_(0, r.indices[image], True)
            for r in (ours, theirs)
        ]
        differ = kept[0] ^ kept[1]
        found["kept_differ"] += int(differ.sum()) // 2
        if bool(differ.any()):
            found["kept_height_spread"] = max(
                found["kept_height_spread"], float((b[differ].max() - b[differ].min()) / b[differ].max())
            )
        found["errors_rel"] = max(
            found["errors_rel"], float(((a - b).abs() / b.abs().clamp(min=1e-3 * float(b.max()))).max())
        )
        unit = torch.nn.functional.normalize(x[image].double(), dim=1)
        anchors, worst, beyond = unit[ours.indices[image]], 0.0, 0
        for rows in torch.arange(size[1], device=DEVICE).split(4096):
            alike = unit[rows] @ anchors.T
            gap = alike.amax(1) - alike.gather(1, ours.assignment[image][rows, None])[:, 0]
            worst, beyond = max(worst, float(gap.max())), beyond + int((gap > 1e-5).sum())
        found["cosine_gap"], found["cosine_gap_beyond_1e-5"] = (
            max(found["cosine_gap"], worst),
            found["cosine_gap_beyond_1e-5"] + beyond,
        )
        sums = torch.zeros(keep, size[2], dtype=torch.float64, device=DEVICE).index_add_(
            0, ours.assignment[image], x[image].double()
        )
        means = sums / torch.bincount(ours.assignment[image], minlength=keep)[:, None]
        found["means_abs"] = max(found["means_abs"], float((means - ours.tokens[image].double()).abs().max()))
    again = [compress(x, keep) for _ in range(5)]
    found["same_bits_in_5_runs"] = all(
        torch.equal(getattr(r, n), getattr(ours, n))
        for r in again
        for n in ("basis", "indices", "assignment", "errors", "tokens")
    )
    if size[0] > 1:
        alone = compress(x[size[0] - 1], keep)
        found["same_bits_alone"] = all(
            torch.equal(getattr(alone, n), getattr(ours, n)[-1])
            for n in ("basis", "indices", "assignment", "errors", "tokens")
        )
    return dict(found)


def smoke() -> None:
    item(
        "environment",
        lambda: {
            m: __import__(m).__version__
            for m in ("torch", "triton", "transformers", "numpy", "apet")
            if hasattr(__import__(m), "__version__")
        },
    )
    for dtype in (torch.bfloat16, torch.float32):
        for size in [(1, 60, 64, 9), *SIZES[:3]] if not ASKED.tiny else SIZES:
            item(f"{size} {dtype}", lambda size=size, dtype=dtype: gaps(size, dtype), 8)
    for size in SIZES[3:5] if not ASKED.tiny else []:
        item(f"{size} {torch.bfloat16}", lambda size=size: gaps(size, torch.bfloat16), 10)


def warm() -> None:
    """Compiles what ``ops`` and ``e2e`` launch, in as many processes as there are pairs; Triton keeps it on disk."""
    if ASKED.only:
        size, dtype = ASKED.only.rsplit(" ", 1)
        size = tuple(map(int, size.split("x")))
        compress(tokens(size, getattr(torch, dtype)), size[3], check_finite=False)
        sync()
        return
    children = [
        subprocess.Popen(
            [
                sys.executable,
                __file__,
                "warm",
                "--out",
                str(ASKED.out),
                "--only",
                f"{'x'.join(map(str, s))} {d}",
            ]
            + ["--tiny"] * ASKED.tiny
        )
        for d in ("bfloat16", "float32")
        for s in (
            [(1, 576, 4096, 64), (32, 576, 4096, 64), (1, 2880, 3584, 320), (4, 576, 1024, 64)]
            if not ASKED.tiny
            else SIZES
        )
    ]
    item("warm", lambda: {"codes": [c.wait(max(1, left())) for c in children]})


def one_size(size, dtype, rates) -> dict:
    b, n, d, k = size
    x, found = tokens(size, dtype), {}
    call = lambda: compress(x, k, check_finite=False)  # noqa: E731
    found["eager"] = wall(lambda: compress(x, k))
    found["eager_unchecked"] = wall(call)
    found["host_launch"] = None
    if GPU:
        sync()
        t = time.perf_counter()
        call()
        found["host_launch"] = 1e3 * (time.perf_counter() - t)
        sync()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            call()
        found["graph"] = events(graph.replay, 5 if n > 9000 else 20)
        if b * n * d * x.element_size() < 30e6:  # one image stays in the L2: also with others between
            others = [x.clone() for _ in range(16)]
            graphs = []
            for other in others:
                g = torch.cuda.CUDAGraph()
                with torch.cuda.graph(g):
                    compress(other, k, check_finite=False)
                graphs.append(g)
            found["graph_cold"] = {
                key: value / len(graphs) if key != "runs" else value
                for key, value in events(lambda: [g.replay() for g in graphs], 1).items()
            }
            del graphs, others
        found["kernels_us"] = profile(call)
        del graph
    found["core"] = wall(lambda: core(x, k), 5, 2.0)
    if GPU:
        try:  # the readable core without the host: what a kernel has to beat
            plain = lambda: core(x, k, check_finite=False)  # noqa: E731
            plain()
            sync()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                plain()
            found["core_graph"] = events(graph.replay, 5, 5)
            found["core_us"] = dict(list(profile(plain).items())[:14])
            del graph
        except Exception as error:  # noqa: BLE001
            found["core_graph_error"] = repr(error)[:600]
            torch.cuda.synchronize()
    dropped, kept = x[0, : n - k], x[0, :k].T
    product = events(lambda: dropped @ kept, 5)["median"] * b
    read = x.numel() * x.element_size() / rates["copy_bytes_per_ms"]
    found |= {"read_ms": read, "product_ms": product, "floor": 10 * read + product}
    found["over_floor"] = found["graph" if GPU else "eager_unchecked"]["median"] / found["floor"]
    if GPU:
        found["per_image_us"] = 1e3 * found["graph"]["median"] / b
        torch.cuda.empty_cache()
    return found


def profile(run) -> dict:
    """Microseconds and launches by kernel, of one call."""
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    ) as p:
        run()
        sync()
    found = {}
    for e in p.key_averages():
        us = getattr(e, "self_device_time_total", 0)
        if us and e.device_type.name == "CUDA":
            found[e.key[:60]] = [round(us, 1), e.count]
    return dict(sorted(found.items(), key=lambda pair: -pair[1][0]))


def ops() -> None:
    rates: dict = {}

    def ceilings() -> dict:
        n = 1 << (31 if GPU else 22)
        source = torch.ones(n // 4, device=DEVICE)
        target = torch.empty_like(source)
        rates["copy_bytes_per_ms"] = 2 * n / events(lambda: target.copy_(source), 3)["median"]
        side = 8192 if GPU else 128
        a = torch.randn(side, side, device=DEVICE, dtype=torch.bfloat16)
        c = torch.randn_like(a)
        return {
            "copy_tb_per_s": rates["copy_bytes_per_ms"] / 1e9,
            "bf16_tflops": 2e-9 * side**3 / events(lambda: a @ c, 3)["median"],
        }

    item("ceilings", ceilings)
    for dtype in (torch.bfloat16, torch.float32):
        for size in SIZES if dtype == torch.bfloat16 else SIZES[:3]:
            item(f"{size} {str(dtype)[6:]}", lambda size=size, dtype=dtype: one_size(size, dtype, rates), 12)


def e2e() -> None:
    import gc

    import apet.app.bench.generate as G
    from apet.app.bench.show import print_generate as G_print
    from apet.app.bench.variants import variants
    from apet.app.known import KNOWN, build, inputs, tiny
    from apet.methods import Stage2

    rows = ("uncompressed", "apet", "apet, two stages", "oracle", "random", "divprune", "spread")

    @dataclass(frozen=True)
    class ByCore(G.Variant):
        """The same row, decided by the core."""

        @contextmanager
        def applied(self, model):
            with G.without_kernels(), super().applied(model) as session:
                yield session

    def wanted(*a):
        found = [v for v in variants(*a) if v.name in rows]
        own = next(v for v in found if v.name == "apet")
        return [*found, ByCore("apet by the core", own.method)]

    G.variants = wanted
    noted: list = []
    real = G.other_choice

    def note(ours, theirs):  # recorded, not refused
        noted.append(real(ours, theirs))

    G.other_choice = note
    plan = [
        ("llava-1.5-7b", 64, [(1, 36), (8, 36), (32, 36)]),
        ("qwen2.5-vl-7b", 144, [(1, 36), (8, 36), (1, 64)]),
    ]
    if ASKED.only:
        plan = [p for p in plan if p[0] in ASKED.only.split(",")]
    for name, keep, runs in plan:
        if left() < 25:
            REPORT["items"][name] = {"left_out": f"{left():.0f} s left"}
            continue
        held: dict = {}

        def make(name=name) -> dict:
            t = time.monotonic()
            held["model"] = build(
                tiny(KNOWN[name]) if ASKED.tiny else KNOWN[name],
                DEVICE.type,
                torch.bfloat16 if GPU else torch.float32,
                "sdpa",
            )
            return {"seconds": time.monotonic() - t}

        item(f"{name} build", make)
        if "model" not in held:
            continue
        model = held["model"]
        for batch, side in runs:

            def run(batch=batch, side=side, keep=keep, model=model) -> dict:
                noted.clear()
                words, new, own, k = (
                    (6, 2, 6, 8) if ASKED.tiny else (64, 16, side, keep if side == 36 else 455)
                )
                report = G.bench_generate(
                    model,
                    inputs(model, batch, words, own),
                    keep=k,
                    stage2=Stage2(model.config.get_text_config().num_hidden_layers // 2, k // 2),
                    first=k * 3 // 2,
                    repeats=1 if ASKED.tiny else 7 if batch == 1 else 3,
                    new_tokens=new,
                )
                G_print(report)
                return report | {"kernels_against_core": [str(one) for one in noted]}

            item(f"{name}, batch {batch}, side {side}", run, 20 if not ASKED.tiny else 1)
        held.clear()
        del model, run
        gc.collect()
        if GPU:
            torch.cuda.empty_cache()


def waits() -> None:
    """Where the host waits for the device in a prefill and in a step of decode, by line; and what the hooks launch."""
    from apet.app.known import KNOWN, build, inputs, tiny

    for name in ("llava-1.5-7b", "qwen2.5-vl-7b"):

        def run(name=name) -> dict:
            settings = tiny(KNOWN[name]) if ASKED.tiny or not GPU else KNOWN[name]
            settings = {**settings, "text_config": {**settings["text_config"], "num_hidden_layers": 4}}
            model = build(settings, DEVICE.type, torch.bfloat16 if GPU else torch.float32, "sdpa")
            given = inputs(model, 1, 16, 6 if ASKED.tiny else 36)
            found: dict = {}
            for label, new in (("prefill", 1), ("prefill and 4 steps", 5)):
                with apet.compressing(model, apet.ApET(keep=8 if ASKED.tiny else 64)), torch.inference_mode():
                    options = {"max_new_tokens": new, "min_new_tokens": new, "do_sample": False}
                    model.generate(**given, **options)
                    seen: Counter = Counter()

                    def show(message, category, filename, lineno, file=None, line=None, seen=seen):
                        stack = [
                            f
                            for f in traceback.extract_stack()
                            if "/apet/" in f.filename or "/transformers/" in f.filename
                        ]
                        if "synchroniz" in str(message) and stack:
                            seen[f"{'/'.join(stack[-1].filename.split('/')[-3:])}:{stack[-1].lineno}"] += 1

                    with warnings.catch_warnings():
                        warnings.simplefilter("always")
                        warnings.showwarning = show
                        if GPU:
                            torch.cuda.set_sync_debug_mode("warn")
                        try:
                            model.generate(**given, **options)
                        finally:
                            if GPU:
                                torch.cuda.set_sync_debug_mode("default")
                    found[label] = dict(seen.most_common())
            return found

        item(name, run)


{"smoke": smoke, "warm": warm, "ops": ops, "e2e": e2e, "waits": waits}[ASKED.part]()
print(f"{ASKED.part} done in {time.monotonic() - BEGIN:.0f} s", flush=True)
