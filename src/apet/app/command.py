"""The command that a user typed: options that several have, what all refuse, and its name for errors."""

from __future__ import annotations

import re
import sys
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

_RUNNING: ContextVar[Any] = ContextVar("running", default=None)


def typed(name: str | None = None, otherwise: str = "apet") -> str:
    """The running command, and one of its options or arguments as it is typed: ``"plan MODEL"``.

    Args:
        name: Of the command's parameter; None, or one that it has not, for the command alone.
        otherwise: What to say where no command runs, such as in a server's thread.
    """
    context = _RUNNING.get()
    if context is None:
        return otherwise
    words: str = context.command_path.partition(" ")[2]
    for param in context.command.params:
        if param.name == name:
            return f"{words} {_spelled(param)}"
    return words


def _spelled(param: Any) -> str:
    if param.param_type_name == "option":
        return str(max(param.opts, key=len))
    return str(param.metavar or param.name.upper()).strip("[].")


def _listed(given: Any) -> list[Any]:
    return list(given) if isinstance(given, list | tuple) else [given]


class Command(TyperCommand):
    """A command that refuses empty arguments, and whole numbers that only Python would write.

    ``Path("")`` is the current folder, and ``int("1_0")`` is 10.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Looks at what was typed, beside what became of it."""
        if ctx.resilient_parsing:  # completion
            return super().parse_args(ctx, args)
        parsed, _, _ = self.make_parser(ctx).parse_args(args=list(args))
        texts = {param: _listed(parsed.get(param.name or "")) for param in self.get_params(ctx)}
        for param, values in texts.items():
            if "" in values:
                raise typer.BadParameter("it is empty.", ctx=ctx, param_hint=_spelled(param))
        left_over = super().parse_args(ctx, args)
        for param, values in texts.items():
            value = ctx.params.get(param.name or "")
            if isinstance(value, int) and not isinstance(value, bool):
                for text in values:
                    if isinstance(text, str) and not re.fullmatch(r"[+-]?[0-9]+", text):
                        hint = _spelled(param)
                        message = f"{text!r} is not a whole number."
                        raise typer.BadParameter(message, ctx=ctx, param_hint=hint)
        return left_over

    def invoke(self, ctx: Any) -> Any:
        """Runs the command; errors carry its name as a note."""
        token = _RUNNING.set(ctx)
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except (OSError, ValueError) as error:
            error.add_note(ctx.command_path)
            raise
        finally:
            _RUNNING.reset(token)


def help_without_command(context: typer.Context) -> None:
    """Prints a group's help where it is called alone."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), nl=False)
        raise typer.Exit()


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
