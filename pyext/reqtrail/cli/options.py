"""The options that commands share, each with the check of its values.

Every one of them may also stand in reqtrail.toml or in the environment: see configuration.py.
"""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import httpx
import typer
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from reqtrail.cli import configuration
from reqtrail.context import reset_request_id, set_request_id

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST = timedelta(days=10_000)
_SOURCES = "Sources"
_LIMITS = "What counts as slow"


def _request_id(value: str) -> str:
    try:
        reset_request_id(set_request_id(value))  # the one definition of an id
    except ValueError as error:
        raise typer.BadParameter(f"{value!r} is {error}") from error
    return value


def _dsn(value: str) -> str:
    try:
        conninfo_to_dict(value)
    except ProgrammingError:
        # libpq's own words have the string in them, password and all.
        wanted = "it is no libpq URL or key=value string, such as postgresql://user@host:5432/database"
        raise typer.BadParameter(wanted) from None
    return value


def url(value: str) -> str:
    """Take an http or https address. Raises typer.BadParameter for anything else."""
    try:
        address = httpx.URL(value)
    except httpx.InvalidURL:
        address = httpx.URL("")
    if address.scheme not in ("http", "https") or not address.host:
        given = "it" if "@" in value else repr(value)  # there may be a password in it
        raise typer.BadParameter(f"{given} is no address such as http://127.0.0.1:9090")
    return value


def _path_or_glob(value: str) -> str:
    if not value or "\0" in value:
        raise typer.BadParameter(f"{value!r} is no path")
    return value


def duration(value: str | timedelta) -> timedelta:
    """Read a time span such as 30s, 15m, 24h or 7d, up to 9999d. Raises typer.BadParameter."""
    if isinstance(value, timedelta):
        return value
    matched = re.fullmatch(r"([1-9]\d{0,5})([smhd])", value)
    span = timedelta(seconds=int(matched[1]) * _UNITS[matched[2]]) if matched else _LONGEST
    if span >= _LONGEST:
        raise typer.BadParameter(f"{value!r} is no time span such as 30s, 15m, 24h or 7d")
    return span


def _load_configuration(ctx: typer.Context, value: Path | None) -> Path | None:
    return None if ctx.resilient_parsing else configuration.load(ctx, value)


Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        is_eager=True,
        callback=_load_configuration,
        help="Read defaults from FILE, not from ./reqtrail.toml or ~/.config/reqtrail/reqtrail.toml.",
    ),
]
RequestId = Annotated[str, typer.Argument(parser=_request_id, metavar="REQUEST_ID", help="The id to look for.")]
Dsns = Annotated[
    list[str] | None,
    typer.Option(
        "--dsn",
        parser=_dsn,
        metavar="DSN",
        rich_help_panel=_SOURCES,
        help="PostgreSQL: a libpq URL or key=value string of the database that has pg_stat_requests. Repeatable.",
    ),
]
Logs = Annotated[
    list[str] | None,
    typer.Option(
        "--logs",
        parser=_path_or_glob,
        metavar="PATH",
        rich_help_panel=_SOURCES,
        help="Log files: a path, a glob, or - for standard input; JSON lines, or PostgreSQL's own log. Repeatable.",
    ),
]
Loki = Annotated[
    str | None,
    typer.Option("--loki", parser=url, metavar="URL", rich_help_panel=_SOURCES, help="The address of Loki."),
]
LokiSelector = Annotated[
    str,
    typer.Option(
        "--loki-selector", metavar="LOGQL", rich_help_panel=_SOURCES, help="The streams of Loki to look through."
    ),
]
LokiTenant = Annotated[
    str | None,
    typer.Option(
        "--loki-tenant", metavar="NAME", rich_help_panel=_SOURCES, help="The tenant of Loki (header X-Scope-OrgID)."
    ),
]
Prometheus = Annotated[
    str | None,
    typer.Option(
        "--prometheus", parser=url, metavar="URL", rich_help_panel=_SOURCES, help="The address of Prometheus."
    ),
]
Api = Annotated[
    str | None,
    typer.Option(
        "--api",
        parser=url,
        metavar="URL",
        rich_help_panel=_SOURCES,
        help="An address of the API that may be asked with GET, such as its health check.",
    ),
]
Metrics = Annotated[
    list[str] | None,
    typer.Option(
        "--metrics",
        parser=url,
        metavar="URL",
        rich_help_panel=_SOURCES,
        help="The address of a /metrics page, for the exemplars that it shows now. Repeatable.",
    ),
]
Since = Annotated[
    timedelta,
    typer.Option(
        "--since",
        parser=duration,
        metavar="TIME",
        show_default="24h",
        rich_help_panel=_SOURCES,
        help="How far back Loki and Prometheus are asked: 30s, 15m, 24h, 7d.",
    ),
]
SlowMs = Annotated[
    float,
    typer.Option(
        "--slow-ms", metavar="MS", min=0, rich_help_panel=_LIMITS, help="From when on a request, task or wait is slow."
    ),
]
Repeated = Annotated[
    int,
    typer.Option(
        "--repeated", metavar="N", min=2, rich_help_panel=_LIMITS, help="How many calls of one statement are an N+1."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
