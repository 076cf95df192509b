"""The ``apet`` command: its subcommands and options. The work is done in the modules beside this one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from apet.app.bench.commands import bench

__all__ = ["app", "run"]

app = typer.Typer(
    help="Ask vision-language models about pictures with fewer visual tokens.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


app.add_typer(bench, name="bench")


@app.callback()
def _root() -> None:
    """Keeps subcommands even while there is only one."""


@app.command()
def ask(
    picture: Annotated[
        Path,
        typer.Argument(
            help="A picture, or a video as apet picture takes it in one path.", show_default=False
        ),
    ],
    question: Annotated[str, typer.Argument(help="What to ask about it.", show_default=False)],
    model: Annotated[
        str | None,
        typer.Option(help="Model id or folder; the embedded model if not given.", show_default=False),
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option(
            help="Visual tokens to keep in stage 1: a count (64) or a share (0.11).", show_default="64"
        ),
    ] = None,
    tolerance: Annotated[
        str | None,
        typer.Option(
            help="Keep as few as this share of error allows (0.05), in place of --keep.", show_default=False
        ),
    ] = None,
    stage2: Annotated[
        str | None,
        typer.Option(
            metavar="LAYER:KEEP",
            help="Compress again before a decoder layer, e.g. 16:32.",
            show_default=False,
        ),
    ] = None,
    method: Annotated[
        str, typer.Option(help="How to choose: apet, greedy, random, ...; any other word lists all.")
    ] = "apet",
    compare: Annotated[bool, typer.Option("--compare", help="Also run without compression.")] = False,
    repeats: Annotated[
        int, typer.Option(min=1, help="Timed runs of each in --compare; medians are shown.")
    ] = 3,
    picture_out: Annotated[
        Path | None,
        typer.Option(
            "--picture", metavar="OUT.png", help="Write what was kept as a picture.", show_default=False
        ),
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 64,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Let the model's repository run its own code.")
    ] = False,
) -> None:
    """Answer a question about a picture from a few of its visual tokens."""
    from apet.app.ask import Request, answer_request
    from apet.app.options import parse_budget, parse_stage2

    count, share = parse_budget(keep, tolerance)

    request = Request(
        picture=picture,
        question=question,
        model=model,
        keep=count,
        tolerance=share,
        stage2=parse_stage2(stage2),
        repeats=repeats if compare else 0,
        picture_out=picture_out,
        max_new_tokens=max_new_tokens,
        method=method,
        trust_remote_code=trust_remote_code,
    )
    answer_request(request, as_json=as_json)


@app.command("eval")
def evaluate(
    model: Annotated[
        str | None,
        typer.Option(help="Model id or folder; the embedded model if not given.", show_default=False),
    ] = None,
    methods: Annotated[
        str,
        typer.Option(
            help="Methods by name, with fields if any: apet,random,apet:merge=no. If not given: all, and "
            "ApET under tolerances.",
            show_default=False,
        ),
    ] = "",
    keep: Annotated[str, typer.Option(help="Budgets: counts or shares of the visual tokens.")] = (
        "192,128,64,32"
    ),
    stage2: Annotated[
        str, typer.Option(help="off, or paper: 1.5 times the budget up to the middle layer, then half of it.")
    ] = "off,paper",
    tasks: Annotated[
        str,
        typer.Option(
            help="Drawn tasks by name, or tasks of lmms-eval such as gqa. For the embedded model what it was "
            "trained for if not given, else every drawn task.",
            show_default=False,
        ),
    ] = "",
    seeds: Annotated[int, typer.Option(help="Seeds of methods that draw by chance.")] = 3,
    limit: Annotated[
        int | None, typer.Option(help="Questions per task; 225 if not given.", show_default=False)
    ] = None,
    output: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of answers and report; a killed run goes on from it.")
    ] = Path("apet-eval"),
    workers: Annotated[
        int | None,
        typer.Option(
            help="Processes that answer at once, for a small model on the CPU. The embedded model takes all "
            "cores if not given, another one process.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Let the model's repository run its own code.")
    ] = False,
) -> None:
    """Compare methods and budgets: accuracy, retention, changed answers and times, with a report."""
    from apet.app.evaluate import EvalRequest, evaluate_request

    request = EvalRequest(
        model, methods, keep, stage2, tasks, seeds, limit, output, workers, trust_remote_code
    )
    evaluate_request(request, as_json=as_json)


@app.command()
def reproduce(
    table: Annotated[
        str,
        typer.Argument(
            help="A published table: paper-table-llava-1.5 or paper-table-qwen2.5-vl.", show_default=False
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            help="Another model id or folder than the table's, such as a local copy.", show_default=False
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Questions per task; all if not given.", show_default=False)
    ] = None,
    output: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of the runs; finished ones are not run again.")
    ] = Path("apet-reproduce"),
    run: Annotated[bool, typer.Option(help="Run what can be run here, or print the runs alone.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Print the runs behind a published table, run them, and set the results beside its figures."""
    from apet.app.reproduce import reproduce as reproduce_table

    reproduce_table(table, model=model, limit=limit, output=output, run=run, as_json=as_json)


@app.command()
def picture(
    pictures: Annotated[
        list[Path],
        typer.Argument(
            metavar="PICTURE...",
            help="A picture. Or a video: an animated GIF or WebP, a folder of frames, several pictures of "
            "one size, or with PyAV installed a file such as MP4.",
            show_default=False,
        ),
    ],
    keep: Annotated[
        str, typer.Option(help="Budgets, separated by commas: counts (64) or shares (0.11).")
    ] = "64,128,192",
    model: Annotated[
        str | None,
        typer.Option(help="Model id or folder; the embedded model if not given.", show_default=False),
    ] = None,
    method: Annotated[str, typer.Option(help="How tokens are chosen; an unknown name lists all.")] = "apet",
    output: Annotated[Path, typer.Option(metavar="OUT.png", help="File to write.")] = Path("kept.png"),
    frames: Annotated[int, typer.Option(min=1, help="Most frames to take of a video.")] = 6,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Let the model's repository run its own code.")
    ] = False,
) -> None:
    """Draw what is kept of a picture or a video: kept patches, errors, and what merged into what."""
    from apet.app.options import parse_keeps
    from apet.app.picture import draw_picture

    keeps = parse_keeps(keep, "picture --keep")
    draw_picture(pictures, keeps, method, model, output, frames=frames, trust_remote_code=trust_remote_code)


@app.command()
def show(
    model: Annotated[
        str | None,
        typer.Option(help="Model id or folder; the embedded model if not given.", show_default=False),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 7860,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Let the models' repositories run their own code.")
    ] = False,
) -> None:
    """Serve a page where a slider shows what is kept, and answers can be compared."""
    from apet.app.show import show as serve

    serve(model, host, port, trust_remote_code=trust_remote_code)


@app.command()
def models(
    unsupported: Annotated[
        bool, typer.Option("--unsupported", help="List the types that cannot be compressed, and why not.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print both lists as one JSON object.")] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the documentation's page docs/models.md.")
    ] = False,
) -> None:
    """List the model types that can be compressed."""
    from apet.app.models import write

    write(unsupported=unsupported, json_wanted=as_json, markdown=markdown)


@app.command()
def plan(
    model: Annotated[
        str | None,
        typer.Argument(
            help="Model id or folder, or llava-1.5-7b, llava-next-7b, video-llava-7b, qwen2.5-vl-7b or "
            "qwen3-vl-8b without a connection; the embedded model if not given.",
            show_default=False,
        ),
    ] = None,
    keep: Annotated[
        str, typer.Option(help="Visual tokens to keep in stage 1: a count (64) or a share (0.11).")
    ] = "64",
    stage2: Annotated[
        str | None,
        typer.Option(
            metavar="LAYER:KEEP",
            help="Compress again before a decoder layer, e.g. 16:32.",
            show_default=False,
        ),
    ] = None,
    images: Annotated[int, typer.Option(min=1, help="Pictures or clips in each request.")] = 1,
    batch: Annotated[int, typer.Option(min=1, help="Requests at a time.")] = 1,
    words: Annotated[int, typer.Option(min=1, help="Text tokens in each request.")] = 64,
    answer: Annotated[int, typer.Option(min=1, help="Tokens generated for each request.")] = 128,
    device: Annotated[str, typer.Option(help="h200, a100, l4 or cpu; here measures this machine.")] = "h200",
    size: Annotated[
        str | None,
        typer.Option(metavar="WxH", help="Size of the pictures, where it matters.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Let the model's repository run its own code.")
    ] = False,
) -> None:
    """Say what a budget saves, from a model's configuration alone; no weights are loaded."""
    from apet.app.options import parse_keep, parse_stage2
    from apet.app.plan.costs import Load
    from apet.app.plan.show import PlanRequest, parse_size, show_plan

    request = PlanRequest(
        model=model,
        keep=parse_keep(keep),
        stage2=parse_stage2(stage2),
        load=Load(batch=batch, images=images, words=words, answer=answer),
        device=device,
        size=parse_size(size),
        trust_remote_code=trust_remote_code,
    )
    show_plan(request, as_json=as_json)


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    options_metavar="[MODEL] --keep KEEP [vLLM OPTIONS]",
)
def serve(
    context: typer.Context,
    keep: Annotated[
        str, typer.Option(help="Visual tokens to keep of each image, tile or frame: a count or a share.")
    ],
) -> None:
    """Serve a model with fewer visual tokens through vLLM's OpenAI server.

    MODEL comes first; without one, the embedded model is served. All other options are vLLM's own, such as
    --port or --tensor-parallel-size.
    """
    from apet.app.options import parse_keep
    from apet.app.serve import serve as become_server

    become_server(parse_keep(keep, "serve --keep"), context.args)


def run() -> None:
    """Entry point: a user's mistake is one line on standard error and exit code 2."""
    try:
        app()
    except ValueError as error:
        # Whoever raised one has imported it. Importing it here would load torch, for --help as well.
        errors = sys.modules.get("apet.core.errors")
        if errors is None or not isinstance(error, errors.ApETError):
            raise
        print(f"apet: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    run()
