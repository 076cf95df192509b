"""The commands about pictures and budgets: their options. The work is done in the modules beside this one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from apet.app.command import MOST, AsJson, Keep, Method, Model, Output, Second, Trust
from apet.app.plan.devices import DEVICES

_DEVICES = (*DEVICES, "here")
_Tolerance = Annotated[
    str | None,
    typer.Option(
        help="Keep as few as this share of error allows (0.05), in place of --keep.", show_default=False
    ),
]


def ask(
    picture: Annotated[
        str,
        typer.Argument(
            metavar="PICTURE",
            help="A picture or a video, as apet picture takes it in one path; - is standard input.",
            show_default=False,
        ),
    ],
    question: Annotated[
        str, typer.Argument(metavar="QUESTION", help="What to ask about it.", show_default=False)
    ],
    model: Model = None,
    keep: Annotated[
        str | None,
        typer.Option(
            help="Visual tokens to keep in stage 1: a count (64) or a share (0.11).", show_default="64"
        ),
    ] = None,
    tolerance: _Tolerance = None,
    stage2: Second = None,
    method: Method = "apet",
    system: Annotated[
        str | None,
        typer.Option(
            metavar="PROMPT", help="A system prompt, where the chat template takes one.", show_default=False
        ),
    ] = None,
    compare: Annotated[bool, typer.Option("--compare", help="Also run without compression.")] = False,
    repeats: Annotated[
        int, typer.Option(min=1, max=MOST, help="Timed runs of each in --compare; medians are shown.")
    ] = 3,
    picture_out: Annotated[
        Path | None,
        typer.Option(
            "--picture", metavar="OUT.png", help="Write what was kept as a picture.", show_default=False
        ),
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, max=MOST, help="Longest answer, in tokens.")] = 64,
    as_json: AsJson = False,
    trust_remote_code: Trust = False,
) -> None:
    """Answer a question about a picture from a few of its visual tokens."""
    from apet.app.ask import answer_question
    from apet.app.options import parse_methods, parse_stage2

    (chosen,) = parse_methods(method, keep, tolerance, parse_stage2(stage2), several=False)
    answer_question(
        picture,
        question,
        model_name=model,
        method=chosen,
        spec=method,
        system=system,
        repeats=repeats if compare else 0,
        picture_out=picture_out,
        max_new_tokens=max_new_tokens,
        trust_remote_code=trust_remote_code,
        as_json=as_json,
    )


def picture(
    pictures: Annotated[
        list[str],
        typer.Argument(
            metavar="PICTURE...",
            help="A picture, by its path or its http(s) address; - reads it from standard input. Or a video: "
            "an animated GIF or WebP, a folder of frames, several pictures of one size, or with PyAV "
            "installed a file such as MP4.",
            show_default=False,
        ),
    ],
    keep: Annotated[
        str | None,
        typer.Option(
            help="Budgets, separated by commas: counts (64) or shares (0.11).", show_default="64,128,192"
        ),
    ] = None,
    tolerance: Annotated[
        str | None,
        typer.Option(
            help="Shares of error (0.05), separated by commas, in place of --keep.", show_default=False
        ),
    ] = None,
    model: Model = None,
    method: Method = "apet",
    question: Annotated[
        str, typer.Option(help="What is asked, for methods such as fastv that look at it.")
    ] = "what is this?",
    output: Output = Path("kept.png"),
    frames: Annotated[int, typer.Option(min=1, max=MOST, help="Most frames to take of a video.")] = 6,
    trust_remote_code: Trust = False,
) -> None:
    """Draw what is kept of a picture or a video: kept patches, errors, and what merged into what."""
    from apet.app.options import parse_methods
    from apet.app.picture import draw_picture

    methods = parse_methods(method, keep, tolerance, several=True)
    draw_picture(
        pictures, methods, model, output, question, frames=frames, trust_remote_code=trust_remote_code
    )


def plan(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL]",
            help="Model id or folder, or llava-1.5-7b, llava-next-7b, video-llava-7b, qwen2.5-vl-7b, "
            "qwen2.5-vl-3b or qwen3-vl-8b without a connection; the embedded model if not given.",
            show_default=False,
        ),
    ] = None,
    keep: Keep = "64",
    stage2: Second = None,
    images: Annotated[int, typer.Option(min=1, max=MOST, help="Pictures or clips in each request.")] = 1,
    batch: Annotated[int, typer.Option(min=1, max=MOST, help="Requests at a time.")] = 1,
    words: Annotated[int, typer.Option(min=1, max=MOST, help="Text tokens in each request.")] = 64,
    answer: Annotated[int, typer.Option(min=1, max=MOST, help="Tokens generated for each request.")] = 128,
    device: Annotated[
        str,
        typer.Option(
            help=f"{', '.join(DEVICES)}; here measures this machine.",
            autocompletion=lambda incomplete: [name for name in _DEVICES if name.startswith(incomplete)],
        ),
    ] = "h200",
    size: Annotated[
        str | None,
        typer.Option(metavar="WxH", help="Size of the pictures, where it matters.", show_default=False),
    ] = None,
    as_json: AsJson = False,
    trust_remote_code: Trust = False,
) -> None:
    """Say what a budget saves, from a model's configuration alone; no weights are loaded."""
    from apet.app.options import parse_keep, parse_stage2
    from apet.app.plan.costs import Load
    from apet.app.plan.print import parse_size, print_plan

    print_plan(
        model,
        parse_keep(keep),
        parse_stage2(stage2),
        Load(batch=batch, images=images, words=words, answer=answer),
        device=device,
        size=parse_size(size),
        trust_remote_code=trust_remote_code,
        as_json=as_json,
    )


def evaluate(
    model: Model = None,
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
    seeds: Annotated[int, typer.Option(max=1_000, help="Seeds of methods that draw by chance.")] = 3,
    limit: Annotated[
        int | None,
        typer.Option(max=MOST, help="Questions per task; 225 if not given.", show_default=False),
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
    times: Annotated[
        bool, typer.Option("--times/--no-times", help="Ask 16 questions alone, too, and time them.")
    ] = True,
    as_json: AsJson = False,
    trust_remote_code: Trust = False,
) -> None:
    """Compare methods and budgets: accuracy, retention, changed answers and times, with a report."""
    from apet.app.evaluate import run_evaluation

    run_evaluation(
        model=model,
        methods=methods,
        keep=keep,
        stage2=stage2,
        tasks=tasks,
        seeds=seeds,
        limit=limit,
        output=output,
        workers=workers,
        times=times,
        as_json=as_json,
        trust_remote_code=trust_remote_code,
    )
