"""``apet bench``'s subcommands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from apet.app.command import Command, Second, Trust, help_without_command, typed

bench = typer.Typer(help="Time what is there; a speed is printed only if the same configuration is right.")
bench.callback(invoke_without_command=True)(help_without_command)

_Json = Annotated[Path | None, typer.Option("--json", metavar="OUT.json", help="Save all figures.")]
_Plot = Annotated[Path | None, typer.Option(metavar="OUT.png", help="Draw the times.")]
_Device = Annotated[
    str | None, typer.Option(help="cpu or cuda; the GPU if there is one.", show_default=False)
]


@bench.command(cls=Command)
def ops(
    sizes: Annotated[
        str, typer.Option(metavar="NxdxK,..", help="Tokens, width and kept tokens; a batch as BxNxdxK.")
    ] = "576x1024x96,1296x3584x259",
    repeats: Annotated[int, typer.Option(min=1, help="Runs of the slowest; 5 of the others for each.")] = 5,
    threads: Annotated[int, typer.Option(min=0, help="Torch's threads; 0 leaves them alone.")] = 0,
    device: _Device = None,
    dtype: Annotated[str, typer.Option(help="float32, float16 or bfloat16.")] = "float32",
    output: _Json = None,
    plot: _Plot = None,
) -> None:
    """Time apet.compress beside 25 plain lines of torch, and beside a merge that compares by broadcasting."""
    import torch

    from apet.app.bench.ops import bench_ops, parse_sizes, pick_device, pick_dtype
    from apet.app.bench.plots import draw_ops
    from apet.app.bench.print import check_output, print_ops
    from apet.app.console import hint_if_busy

    parsed = parse_sizes(sizes)
    check_output(output, "output")
    check_output(plot, "plot")
    kind = pick_dtype(dtype)
    if threads:
        torch.set_num_threads(threads)
    hint_if_busy()
    report = bench_ops(parsed, repeats, pick_device(device), kind)
    print_ops(report)
    _finish(report, output, plot, draw_ops)


_Draw = Callable[[dict[str, Any], Path], None]


def _finish(report: dict[str, Any], output: Path | None, plot: Path | None, draw: _Draw) -> NoReturn:
    """Saves and draws; the exit code is 1 if a row has no times though it should."""
    from apet.app.bench.print import refused, save_report

    if output is not None:
        save_report(report, output)
    if plot is not None:
        draw(report, plot)
    raise typer.Exit(int(refused(report)))


@bench.command(cls=Command)
def generate(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL]", help="Model id or folder; the embedded model if not given.", show_default=False
        ),
    ] = None,
    keep: Annotated[int, typer.Option(min=1, help="Visual tokens to keep, averaged over layers.")] = 64,
    stage2: Second = None,
    batch: Annotated[int, typer.Option(min=1, help="Pictures at a time.")] = 1,
    repeats: Annotated[int, typer.Option(min=1, help="Timed runs of each row, in turns.")] = 5,
    new_tokens: Annotated[int, typer.Option(min=2, help="Tokens to generate.")] = 16,
    output: _Json = None,
    plot: _Plot = None,
    trust_remote_code: Trust = False,
) -> None:
    """Time a model from pictures to answers: uncompressed, ApET, the oracle, and every other method."""
    import numpy as np
    from PIL import Image
    from rich.console import Console

    from apet.app.answering import prompt_of
    from apet.app.bench.generate import bench_generate
    from apet.app.bench.plots import draw_first_tokens
    from apet.app.bench.predicted import add_predictions
    from apet.app.bench.print import check_output, print_generate, print_predictions
    from apet.app.bench.variants import variants
    from apet.app.console import Lines, hint_if_busy, load_with_spinner
    from apet.app.options import made, parse_stage2
    from apet.app.plan.devices import measured
    from apet.core.errors import ApETError
    from apet.evaluation.plain import visual_tokens
    from apet.hf.choice.budgets import check_counts
    from apet.methods import ApET, Stage2

    check_output(output, "output")
    check_output(plot, "plot")
    second = parse_stage2(stage2)
    network, processor = load_with_spinner(model, Console(stderr=True), trust_remote_code=trust_remote_code)
    noise = np.random.default_rng(0).integers(0, 256, (batch, 672, 672, 3), dtype=np.uint8)
    pictures = [[Image.fromarray(x)] for x in noise]
    question = prompt_of(processor, "What is in the picture?")
    single = processor(images=pictures[:1], text=[question], return_tensors="pt")
    given = processor(images=pictures, text=[question] * batch, return_tensors="pt").to(
        network.device, network.dtype
    )
    total = visual_tokens(network, given["input_ids"][:1])
    check_counts(ApET(keep), total, typed("keep"))
    first = min(keep * 3 // 2, total)
    layers = network.config.get_text_config().num_hidden_layers
    if second is None:  # so that the average over the layers is what was asked for
        second = Stage2(max(1, layers // 2), max(1, 2 * keep - first))
    two = made("apet", first, {"stage2": second})
    if second.layer >= layers:
        raise ApETError(typed("stage2"), f"layer {second.layer} of {layers}", f"a layer below {layers}")
    hint_if_busy()
    report = bench_generate(
        network,
        dict(given),
        keep=keep,
        ways=variants(keep, two),
        repeats=repeats,
        new_tokens=new_tokens,
        tell=Lines("bench generate"),
    )
    report["model"] = model or "embedded"
    words = given["input_ids"].shape[1] - report["visual_tokens"]
    device = measured(network.device, network.dtype)
    add_predictions(report, network.config, dict(single), device, words, (first, second))
    print_generate(report)
    print_predictions(report)
    _finish(report, output, plot, draw_first_tokens)


@bench.command(cls=Command)
def host(
    repeats: Annotated[int, typer.Option(min=1, help="Runs of each; 10 of hooks for each.")] = 7,
    new_tokens: Annotated[int, typer.Option(min=2, help="Tokens to generate.")] = 24,
    output: _Json = None,
) -> None:
    """Time imports, and the hooks on a model so small that little else costs time."""
    from apet.app.bench.host import bench_host
    from apet.app.bench.print import check_output, print_host, save_report

    check_output(output, "output")
    report = bench_host(repeats, new_tokens)
    print_host(report)
    if output is not None:
        save_report(report, output)
