"""Everything that `apet bench` times, on one GPU, with random weights in the models' true shapes.

    python benchmarks/gpu.py [--only llava-1.5-7b,ops] [--batches 1,8,32] [--output results.json]
    python benchmarks/gpu.py --quarter # LLaVA-1.5 with a quarter of the width and the layers, for a CPU
    python benchmarks/gpu.py --tiny    # the same code with small shapes, on whatever is there

Speed does not depend on the weights, so none are downloaded: models are built on the device from
`apet.app.known`. A row whose check fails has no times. The file is written anew after every step, so a run
that is stopped keeps what it has.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers.utils import is_flash_attn_2_available

from apet.app.bench.generate import bench_generate
from apet.app.bench.ops import bench_ops, describe, parse_sizes
from apet.app.bench.predicted import add_predictions, print_predictions
from apet.app.bench.show import print_generate, refused, save_report
from apet.app.known import KNOWN, build, inputs, quarter, tiny
from apet.app.plan.here import measured
from apet.methods import Stage2

SIZES = (
    "1x576x4096x64,32x576x4096x64,1x2880x4096x320,1x16384x3584x3277,1x65536x3584x6554,"
    "1x576x1024x96,1x1296x3584x259"
)
TINY_SIZES = "1x60x16x9,2x30x8x3"


@dataclass(frozen=True)
class Case:
    """A model, what is kept of every picture, tile or frame, and the picture's side in visual tokens."""

    model: str
    keep: int
    side: int = 36

    @property
    def name(self) -> str:
        """The model, with the picture's size where it can have any."""
        return f"{self.model}, {self.side**2} tokens" if "qwen" in self.model else self.model


CASES = (
    Case("llava-1.5-7b", 64),
    Case("llava-next-7b", 64),
    Case("video-llava-7b", 32),
    Case("qwen2.5-vl-7b", 144),
    Case("qwen2.5-vl-7b", 455, 64),
    Case("qwen3-vl-8b", 144),
)
"""A ninth of the tokens; of Video-LLaVA's frames an eighth, as in the paper."""


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Reads the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="models, and ops; all if not given")
    parser.add_argument("--batches", default="")
    parser.add_argument("--repeats", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("results.json"))
    shapes = parser.add_mutually_exclusive_group()
    shapes.add_argument("--quarter", action="store_true", help="LLaVA-1.5 of a size for a CPU")
    shapes.add_argument("--tiny", action="store_true", help="small shapes, to see that all of it runs")
    options = parser.parse_args(arguments)
    unknown = set(filter(None, options.only.split(","))) - {"ops", *KNOWN}
    if unknown:
        parser.error(f"--only {', '.join(sorted(unknown))}: there are ops, {', '.join(KNOWN)}")
    if not (options.tiny or options.quarter or torch.cuda.is_available()):
        parser.error("there is no CUDA GPU; --quarter and --tiny run without one")
    if options.quarter:
        options.only = "llava-1.5-7b"
    options.batches = options.batches or ("2" if options.tiny else "1" if options.quarter else "1,8,32")
    options.repeats = options.repeats or (1 if options.tiny else 7)
    return options


def main(arguments: list[str] | None = None) -> int:
    """Runs all; the exit code is 1 if a row has no times though it should."""
    options = parse(arguments)
    wanted = set(filter(None, options.only.split(","))) or {"ops", *KNOWN}
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    results: dict[str, Any] = {}

    def step(name: str, run: Callable[[], dict[str, Any]]) -> None:
        print(f"\n{name}", flush=True)
        results[name] = run()
        save_report(results, options.output)

    if "ops" in wanted:
        for dtype in (torch.bfloat16, torch.float32):
            step(f"ops, {str(dtype).removeprefix('torch.')}", partial(ops, options, device, dtype))
    attentions = ["sdpa"]
    if device.type == "cuda" and is_flash_attn_2_available():
        attentions.append("flash_attention_2")
    for case in CASES:
        if case.model not in wanted:
            continue
        for attention in attentions:
            settings = KNOWN[case.model]
            settings = tiny(settings) if options.tiny else quarter(settings) if options.quarter else settings
            dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
            model = build(settings, device.type, dtype, attention)
            for batch in map(int, options.batches.split(",")):
                step(
                    f"{case.name}, batch {batch}, {attention}",
                    partial(generate, options, model, case, batch),
                )
            del model
            gc.collect()
            torch.cuda.empty_cache()
    return int(any(refused(report) for report in results.values()))


def ops(options: argparse.Namespace, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """The operation on tensors."""
    sizes = parse_sizes(TINY_SIZES if options.tiny else SIZES)
    report = bench_ops(sizes, options.repeats, device, dtype)
    print(report["machine"], *map(describe, report["rows"]), sep="\n", flush=True)
    return report


def generate(options: argparse.Namespace, model: Any, case: Case, batch: int) -> dict[str, Any]:
    """A model from pictures to answers."""
    words, new = (6, 2) if options.tiny else (64, 16 if options.quarter else 64)
    side, keep = (6, 8) if options.tiny else (case.side, case.keep)
    stage2 = Stage2(model.config.get_text_config().num_hidden_layers // 2, keep // 2)
    report = bench_generate(
        model,
        inputs(model, batch, words, side),
        keep=keep,
        stage2=stage2,
        first=keep * 3 // 2,
        repeats=options.repeats,
        new_tokens=new,
    )
    one, device = inputs(model, 1, words, side), measured(model.device, model.dtype)
    add_predictions(report, model.config, one, device, words, (keep * 3 // 2, stage2))
    print_generate(report)
    print_predictions(report)
    return report


if __name__ == "__main__":
    sys.exit(main())
