"""Options and arguments that several commands have alike."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[
    str | None,
    typer.Option(help="Model id or folder; the embedded model if not given.", show_default=False),
]
Trust = Annotated[
    bool, typer.Option("--trust-remote-code", help="Let the model's repository run its own code.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Method = Annotated[
    str,
    typer.Option(
        help="How to choose: apet, spread, greedy, random, ..., with fields if any: greedy:rounds=4; any "
        "other word lists all."
    ),
]
Second = Annotated[
    str | None,
    typer.Option(
        metavar="LAYER:KEEP",
        help="Compress again before a decoder layer, e.g. 16:32.",
        show_default=False,
    ),
]
Keep = Annotated[str, typer.Option(help="Visual tokens to keep in stage 1: a count (64) or a share (0.11).")]
Output = Annotated[Path, typer.Option(metavar="OUT.png", help="File to write; - is standard output.")]
MOST = 1_000_000
"""No count on the command line is larger: it would be a slip of the finger."""
