"""docs/configuration.md: every option, read from the code.

usage: python -m tests.docs.configuration_page     writes it
"""

from __future__ import annotations

import inspect
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import typer.main

import reqtrail
from devstack.postgres import Postgres
from devstack.postgres_tree import REPOSITORY
from reqtrail import asyncpg, celery, logging, metrics, psycopg2, sqlalchemy
from reqtrail import psycopg as psycopg_hooks
from reqtrail.cli.app import app as command

PAGE = REPOSITORY / "docs" / "configuration.md"
_FUNCTIONS: list[tuple[str, Callable[..., Any]]] = [
    ("reqtrail.install", reqtrail.install),
    ("reqtrail.celery.install", celery.install),
    ("reqtrail.sqlalchemy.install", sqlalchemy.install),
    ("reqtrail.asyncpg.install", asyncpg.install),
    ("reqtrail.psycopg.install", psycopg_hooks.install),
    ("reqtrail.psycopg2.install", psycopg2.install),
    ("reqtrail.logging.setup", logging.setup),
    ("reqtrail.metrics.open_segment", metrics.open_segment),
    ("reqtrail.metrics.start_http_server", metrics.start_http_server),
]
_SETTINGS = """
SELECT name, coalesce(reset_val, '') || coalesce(' ' || unit, ''), context, short_desc, coalesce(extra_desc, '')
FROM pg_settings WHERE name LIKE 'pg_stat_requests.%' ORDER BY name"""


def page(connection: psycopg.Connection[tuple[object, ...]]) -> str:
    """The page, in Markdown. `connection` is to a server with the extension."""
    return "\n".join(
        [
            "# Every option",
            "",
            "This page is made from the code. What an option is for is told at length in the document of its part.",
            "",
            "## In Python",
            *_functions(),
            "## In the environment",
            "",
            *_table(("Variable", "Meaning"), _environment()),
            "",
            "The options of the command, too, can be given in the environment: see [cli.md](cli.md#configuration).",
            "",
            "## In PostgreSQL",
            "",
            *_table(("Setting", "Default", "Changed by", "Meaning"), _settings(connection)),
            "",
            "## On the command line",
            *_commands(),
            "",
        ]
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return [line(head), "|" + "---|" * len(head), *(line(row) for row in rows)]


def _functions() -> Iterator[str]:
    for name, function in _FUNCTIONS:
        yield from ("", f"### {name}", "")
        meanings = _meanings(inspect.getdoc(function) or "")
        parameters = [
            (f"`{parameter.name}`", _default(parameter), meanings.get(parameter.name, ""))
            for parameter in inspect.signature(function).parameters.values()
        ]
        yield from _table(("Argument", "Default", "Meaning"), parameters)
    yield ""


def _default(parameter: inspect.Parameter) -> str:
    return "required" if parameter.default is parameter.empty else f"`{parameter.default!r}`"


_ARGUMENT = r"^ *((?:\w+, )*\w+): "
_MEANING = re.compile(rf"{_ARGUMENT}(.+(?:\n(?!{_ARGUMENT.removeprefix('^')})[ \t]*\S.*)*)", re.MULTILINE)


def _meanings(docstring: str) -> dict[str, str]:
    """What a docstring says of each argument: `name: text` or `one, other: text`, up to the next or an empty line."""
    found = {}
    for match in _MEANING.finditer(docstring):
        meaning = " ".join(match[2].split())
        for name in match[1].split(", "):
            found[name] = meaning
        # "As of `X`; also `one` and `two`."
        same, _, others = meaning.partition("; also ")
        for name in re.findall(r"`(\w+)`", others):
            found.setdefault(name, f"{same}.")
    return found


def _environment() -> Iterator[tuple[str, str]]:
    yield (
        "`REQTRAIL_ENABLED`",
        "`false` (or 0, no, off): every `install` and `setup` does nothing; the middleware passes all on",
    )
    yield "`REQTRAIL_SERVICE`", "the service whose metrics segment the process uses; default `reqtrail`"
    yield "`REQTRAIL_METRICS_DIR`", "the folder of the metrics segments; default: a private one in shared memory"
    yield "`REQTRAIL_METRICS_PORT`, `REQTRAIL_METRICS_ADDR`", "where a Celery worker serves /metrics; default: nowhere"


def _settings(connection: psycopg.Connection[tuple[object, ...]]) -> Iterator[tuple[str, ...]]:
    who = {"user": "anybody", "superuser": "superusers", "postmaster": "a restart", "sighup": "a reload"}
    for name, default, context, short, extra in connection.execute(_SETTINGS).fetchall():
        meaning = f"{short} {extra}".strip()
        yield f"`{name}`", f"`{default}`" if str(default).strip() else "empty", who[str(context)], meaning


def _commands() -> Iterator[str]:
    group: Any = typer.main.get_command(command)
    for name, one in sorted(group.commands.items()):
        yield from ("", f"### reqtrail {name}", "")
        options = [option for option in one.params if option.param_type_name == "option" and not option.hidden]
        rows = [
            (f"`{', '.join((*option.opts, *option.secondary_opts))}`", " ".join((option.help or "").split()))
            for option in options
        ]
        yield from _table(("Option", "Meaning"), rows) if rows else ["See [metrics.md](metrics.md#from-outside)."]


def main() -> None:
    """Write the page."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        with Postgres(Path(name) / "server") as server, server.connect() as connection:
            PAGE.write_text(page(connection))


if __name__ == "__main__":
    main()
