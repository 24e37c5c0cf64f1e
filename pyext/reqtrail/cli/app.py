"""The tree of commands."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from reqtrail import __version__
from reqtrail.cli import doctor, exit_codes, metrics, top, trace
from reqtrail.cli.output import NO_SPACE, ReaderGoneError, drop_output

app = typer.Typer(
    name="reqtrail",
    help="Follows one request id from the HTTP edge through Celery into PostgreSQL.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)

app.command("trace", epilog=trace.EXAMPLES)(trace.trace)
app.command("top", epilog=top.EXAMPLES)(top.top)
app.command("doctor", epilog=doctor.EXAMPLES)(doctor.doctor)


@app.command(
    "metrics",
    help=metrics.SUMMARY,
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
def _metrics(ctx: typer.Context) -> None:
    raise typer.Exit(metrics.main(ctx.args))


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"reqtrail {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


def run(arguments: list[str]) -> int:
    """Run the command that `arguments` name, and return its exit code."""
    try:
        app(arguments, prog_name="reqtrail")
    except ReaderGoneError:
        drop_output()
        return exit_codes.OK
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        drop_output()
        print(f"reqtrail: cannot write the output: {error.strerror}", file=sys.stderr)
        return exit_codes.USAGE
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    return 0
