"""Models from pictures to answers, with random weights in true shapes; and where their prefill waits."""

from __future__ import annotations

import gc
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from benchmarks.on_gpu.items import Part

import apet
from apet.app.bench.generate import bench_generate
from apet.app.bench.ops import without_kernels
from apet.app.bench.print import print_generate
from apet.app.bench.variants import Variant, variants
from apet.app.known import KNOWN, build, inputs, tiny
from apet.hf.sessions import Session
from apet.methods import Stage2

__all__ = ["end_to_end", "waits"]

# Kept of each picture, and (batch, side of the picture in visual tokens where any size goes).
PLAN = {
    "llava-1.5-7b": (64, ((1, 36), (8, 36), (32, 36))),
    "qwen2.5-vl-7b": (144, ((1, 36), (8, 36), (1, 64))),
}
OTHERS = ("spread", "random", "divprune")


@dataclass(frozen=True)
class ByCore(Variant):
    """A row whose tokens are chosen by the core."""

    @contextmanager
    def applied(self, model: torch.nn.Module) -> Iterator[Session | None]:
        """As any variant's, without kernels."""
        with without_kernels(), super().applied(model) as session:
            yield session


def end_to_end(part: Part, name: str, small: bool) -> None:
    """A model at several batch sizes: time to first token, decode, cache and memory."""
    keep, runs = PLAN[name]
    dtype = torch.bfloat16 if part.gpu else torch.float32
    model = build(tiny(KNOWN[name]) if small else KNOWN[name], part.device.type, dtype, "sdpa")
    for batch, side in runs[:2] if small else runs:
        run = partial(_generate, model, batch, side, keep if side == 36 else 455, small)
        part.item(f"{name}, batch {batch}, side {side}", run, 1 if small else 20)
    del model
    gc.collect()


def _generate(model: Any, batch: int, side: int, keep: int, small: bool) -> dict[str, Any]:
    words, new, keep, side = (6, 2, 8, 6) if small else (64, 16, keep, side)
    first, second = keep * 3 // 2, Stage2(model.config.get_text_config().num_hidden_layers // 2, keep // 2)
    rows = variants(keep, apet.ApET(first, stage2=second), OTHERS)
    own = next(row for row in rows if row.name == "apet")
    report = bench_generate(
        model,
        inputs(model, batch, words, side),
        keep=keep,
        repeats=1 if small else 7 if batch == 1 else 3,
        new_tokens=new,
        ways=[*rows, ByCore("apet by the core", own.method)],
    )
    print_generate(report)
    return report


def waits(part: Part, small: bool) -> None:
    """Where the host waits for the device in a prefill and in a step of decode, by line."""
    for name in PLAN:
        part.item(name, partial(_waits, part, name, small))


def _waits(part: Part, name: str, small: bool) -> dict[str, dict[str, int]]:
    settings = tiny(KNOWN[name]) if small else KNOWN[name]
    settings = {**settings, "text_config": {**settings["text_config"], "num_hidden_layers": 4}}
    model = build(settings, part.device.type, torch.bfloat16 if part.gpu else torch.float32, "sdpa")
    given = inputs(model, 1, 16, 6 if small else 36)
    found = {}
    with apet.compressing(model, apet.ApET(keep=8 if small else 64)), torch.inference_mode():
        for label, new in (("prefill", 1), ("prefill and 4 steps", 5)):
            run = partial(model.generate, **given, max_new_tokens=new, min_new_tokens=new, do_sample=False)
            run()
            found[label] = _lines(run, part.gpu)
    return found


def _lines(run: Any, gpu: bool) -> dict[str, int]:
    """The lines of apet and transformers below which torch says that it waits."""
    seen: Counter[str] = Counter()

    def show(message: Any, *_: Any, **__: Any) -> None:
        stack = [
            f for f in traceback.extract_stack() if "/apet/" in f.filename or "/transformers/" in f.filename
        ]
        if "synchroniz" in str(message) and stack:
            seen[f"{'/'.join(stack[-1].filename.split('/')[-3:])}:{stack[-1].lineno}"] += 1

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = show
        if gpu:
            torch.cuda.set_sync_debug_mode("warn")
        try:
            run()
        finally:
            if gpu:
                torch.cuda.set_sync_debug_mode("default")
    return dict(seen.most_common())
