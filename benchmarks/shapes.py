"""Models of nearly true shapes on a CPU, from a picture to an answer: ApET, the oracle, a few other methods.

    python -m benchmarks.shapes [--only quarter,half,eye] [--repeats 7] [--output shapes.json]
    python -m benchmarks.shapes --tiny    # small shapes, to see that all of it runs

Speed does not depend on the weights, so those of the large models are random: a quarter of LLaVA-1.5-7B and
a half of Qwen2.5-VL-3B, which 16 GB of memory hold in float32. The real eye, dinov2, has its own weights, and
is left out where it is not installed. A row whose check fails has no times. The file is written anew after
every model, so a run that is stopped keeps what it has.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from apet import embedded
from apet.app.answering import question_inputs
from apet.app.bench.generate import bench_generate
from apet.app.bench.predicted import add_predictions
from apet.app.bench.print import print_generate, print_predictions, refused, save_report
from apet.app.bench.variants import variants
from apet.app.known import KNOWN, build, inputs, tiny
from apet.app.plan.devices import measured
from apet.embedded.reference import NAME, is_fetched
from apet.methods import ApET, Stage2

_WIDTHS = ("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads", "num_heads")
OTHERS = ("spread", "divprune", "greedy", "random")


def shrunk(settings: dict[str, Any], decoder: int, encoder: int, *, layers: bool = False) -> dict[str, Any]:
    """The same model with a share of the width, for a CPU; heads are fewer, not narrower.

    Widths, and layers if these too, are divided by ``decoder`` and ``encoder``.
    """
    small = deepcopy(settings)
    for part, share in (("text_config", decoder), ("vision_config", encoder)):
        for name in (*_WIDTHS, *(("num_hidden_layers",) if layers else ())):
            if name in small[part]:
                small[part][name] //= share
    if "out_hidden_size" in small["vision_config"]:
        small["vision_config"]["out_hidden_size"] = small["text_config"]["hidden_size"]
    return small


@dataclass(frozen=True)
class Shape:
    """A model, and what it is asked.

    Attributes:
        title: What it is, in the page of results.
        about: What is to be known of it.
        keep: Visual tokens to keep.
        side: Visual tokens along a side of the picture, where it can have any.
        settings: The model's settings in `KNOWN`'s form; None for the real eye.
    """

    title: str
    about: str
    keep: int
    side: int = 24
    settings: Callable[[], dict[str, Any]] | None = None


SHAPES = {
    "quarter": Shape(
        "A quarter of LLaVA-1.5-7B",
        "Random weights; a quarter of the decoder's width and layers, half of the encoder's.",
        64,
        settings=lambda: shrunk(KNOWN["llava-1.5-7b"], 4, 2, layers=True),
    ),
    "half": Shape(
        "Half of Qwen2.5-VL-3B",
        "Random weights; half of the width of decoder and encoder, all layers of both.",
        64,
        settings=lambda: shrunk(KNOWN["qwen2.5-vl-3b"], 2, 2),
    ),
    "eye": Shape("The real eye", "The model `dinov2`, with its weights.", 64),
}


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Reads the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(SHAPES), help="some of quarter, half, eye")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--output", type=Path, default=Path("shapes.json"))
    parser.add_argument("--tiny", action="store_true", help="small shapes, to see that all of it runs")
    options = parser.parse_args(arguments)
    options.only = options.only.split(",")
    unknown = set(options.only) - set(SHAPES)
    if unknown:
        parser.error(f"--only {', '.join(sorted(unknown))}: there are {', '.join(SHAPES)}")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Runs all; the exit code is 1 if a row has no times though it should."""
    options = parse(arguments)
    results: dict[str, Any] = {}
    for name in options.only:
        shape = SHAPES[name]
        if shape.settings is None and not is_fetched():
            print(f"\n{shape.title}: left out, {NAME} is not installed (make reference)", flush=True)
            continue
        print(f"\n{shape.title}", flush=True)
        results[name] = {"title": shape.title, "about": shape.about, **generate(shape, options)}
        save_report(results, options.output)
        gc.collect()
    return int(any(refused(report) for report in results.values()))


def generate(shape: Shape, options: argparse.Namespace) -> dict[str, Any]:
    """A model from a picture to an answer."""
    side, keep, new = (6, 8, 2) if options.tiny else (shape.side, shape.keep, 16)
    if shape.settings is None:
        model, given = eye()
        keep = shape.keep
    else:
        settings = shape.settings()
        model = build(tiny(settings) if options.tiny else settings, "cpu", torch.float32)
        given = inputs(model, 1, 6 if options.tiny else 64, side)
    first = keep * 3 // 2
    stage2 = Stage2(model.config.get_text_config().num_hidden_layers // 2, keep // 2)
    report = bench_generate(
        model,
        given,
        keep=keep,
        repeats=1 if options.tiny else options.repeats,
        new_tokens=new,
        ways=variants(keep, ApET(first, stage2=stage2), OTHERS),
    )
    words = given["input_ids"].shape[1] - report["visual_tokens"]
    add_predictions(report, model.config, given, measured(model.device, model.dtype), words, (first, stage2))
    print_generate(report)
    print_predictions(report)
    return report


def eye() -> tuple[Any, dict[str, Any]]:
    """The real eye, and a picture of noise with a question."""
    model, processor = embedded.load(NAME)
    noise = np.random.default_rng(0).integers(0, 256, (672, 672, 3), dtype=np.uint8)
    given = question_inputs(model, processor, Image.fromarray(noise), "What is in the picture?")
    return model, dict(given)


if __name__ == "__main__":
    sys.exit(main())
