"""The ``apet`` command: its subcommands, and what becomes of their errors."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from apet.app.bench.commands import bench
from apet.app.command import AsJson, Command, Model, help_without_command
from apet.app.commands import ask, evaluate, picture, plan

_USAGE: Any = typer.BadParameter.__bases__[0]  # click's UsageError, which typer carries with it or imports

app = typer.Typer(
    help="Ask vision-language models about pictures with fewer visual tokens.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(bench, name="bench")


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="With --version: also what a report of a fault should say.")
    ] = False,
) -> None:
    """Answers what needs no subcommand."""
    if version:
        from apet.app.version import print_versions

        print_versions(verbose=verbose)
        raise typer.Exit()
    if verbose:
        raise typer.BadParameter("it goes with --version.", ctx=context, param_hint="--verbose")
    help_without_command(context)


app.command(cls=Command)(ask)
app.command(cls=Command)(picture)
app.command(cls=Command)(plan)
app.command("eval", cls=Command)(evaluate)


@app.command(cls=Command)
def reproduce(
    table: Annotated[
        str,
        typer.Argument(
            metavar="TABLE",
            help="A published table: paper-table-llava-1.5 or paper-table-qwen2.5-vl.",
            show_default=False,
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            help="Another model id or folder than the table's, such as a local copy.", show_default=False
        ),
    ] = None,
    tasks: Annotated[
        str,
        typer.Option(help="Benchmarks of the table, with commas; all if not given.", show_default=False),
    ] = "",
    keep: Annotated[
        str, typer.Option(help="Budgets of the table, with commas; all if not given.", show_default=False)
    ] = "",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Questions per task; all if not given.", show_default=False)
    ] = None,
    output: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Folder of runs and results.json; finished runs are not run again."),
    ] = Path("apet-reproduce"),
    run: Annotated[bool, typer.Option(help="Run what can be run here, or print the runs alone.")] = True,
    as_json: AsJson = False,
) -> None:
    """Print the runs behind a published table, run them, and set the results beside its figures."""
    from apet.app.options import parse_keeps
    from apet.app.reproduction import reproduce as reproduce_table

    reproduce_table(
        table,
        model=model,
        tasks=[name.strip() for name in tasks.split(",")] if tasks else [],
        keeps=parse_keeps(keep) if keep else [],
        limit=limit,
        output=output,
        run=run,
        as_json=as_json,
    )


@app.command(cls=Command)
def show(
    model: Model = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 7860,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Let the models' repositories run their own code.")
    ] = False,
) -> None:
    """Serve a page where a slider shows what is kept, and answers can be compared."""
    from apet.app.show import show as serve

    serve(model, host, port, trust_remote_code=trust_remote_code)


@app.command(cls=Command)
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


@app.command(
    cls=Command,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    options_metavar="[MODEL] --keep KEEP [vLLM OPTIONS]",
)
def serve(
    context: typer.Context,
    keep: Annotated[
        str, typer.Option(help="Visual tokens to keep of each image, tile or frame: a count or a share.")
    ],
    budgets: Annotated[
        str | None, typer.Option(help="Smaller budgets; 0.25,64 also serves MODEL@0.25 and MODEL@64.")
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            help="Method by name, with fields if any, such as spread; it must be blind to the prompt."
        ),
    ] = "apet",
) -> None:
    """Serve a model with fewer visual tokens through vLLM's OpenAI server.

    MODEL comes first; without one, the embedded model is served. All other options are vLLM's own, such as
    --port or --tensor-parallel-size. Clients choose smaller budgets by a header (X-APET-Keep) or a name.
    """
    from apet.app.options import parse_keep, parse_keeps
    from apet.app.serve import serve as become_server

    also = parse_keeps(budgets, "serve --budgets") if budgets is not None else []
    become_server(parse_keep(keep), context.args, also, method)


def run() -> None:
    """Entry point: a user's mistake is one line on standard error and exit code 2."""
    _open_what_is_closed()
    code: Any = 0
    try:
        code = app(prog_name="apet", standalone_mode=False)
        sys.stdout.flush()
    except _USAGE as error:
        code = _refuse(error.ctx.command_path if error.ctx else "apet", error.format_message())
    except OSError as error:
        code = _of_the_system(error)
    except ValueError as error:
        # Whoever raised one has imported it. Importing it here would load torch, for --help as well.
        errors = sys.modules.get("apet.core.errors")
        if errors is None or not isinstance(error, errors.ApETError):
            raise
        code = _refuse(_path_of(error), str(error))
    except SystemExit as error:  # as typer and rich end a command whose output nobody reads on
        cause = error.__context__
        code = _of_the_system(cause) if isinstance(cause, BrokenPipeError) else error.code
    except KeyboardInterrupt:
        code = 130
    sys.exit(code if isinstance(code, int) else 0)


def _refuse(path: str, message: str) -> int:
    """Says it in one line that starts with the command, once."""
    line = " ".join(message.split())
    name, _, words = path.partition(" ")
    line = f"{name} {line}" if words and line.startswith(words) else f"{path}: {line}"
    with suppress(BrokenPipeError):
        print(line, file=sys.stderr, flush=True)
    return 2


def _path_of(error: Exception) -> str:
    return str(getattr(error, "__notes__", ["apet"])[-1])


def _of_the_system(error: OSError) -> int:
    """A full disk, no permission and the like; a reader who has had enough of the output is no mistake."""
    # What is still in the buffer would raise again when Python ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if isinstance(error, BrokenPipeError):
        return 141  # as a shell says of a process that SIGPIPE ended
    where = f" ({error.filename})" if error.filename else ""
    return _refuse(_path_of(error), f"{error.strerror or error}{where}")


def _open_what_is_closed() -> None:
    """Files that are opened later must not get the numbers of closed standard streams.

    Nothing can be read or written there: a command that prints is told so.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            wrong_way = os.O_WRONLY if number == 0 else os.O_RDONLY
            os.dup2(os.open(os.devnull, os.O_WRONLY if number == 2 else wrong_way), number)
            setattr(sys, name, open(number, "r" if number == 0 else "w", encoding="utf-8"))  # noqa: SIM115


if __name__ == "__main__":
    run()
