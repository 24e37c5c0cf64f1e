"""`reqtrail top`: the requests in flight, and the costliest ones of the last minutes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from reqtrail.cli import exit_codes, options
from reqtrail.cli.asking import ask_aside
from reqtrail.cli.json_output import to_json
from reqtrail.cli.output import console, print_plain
from reqtrail.cli.sources import SourceError
from reqtrail.cli.sources.costliest import Order, costliest
from reqtrail.cli.sources.database import Requests, connected, reading, shown
from reqtrail.cli.sources.in_flight import InFlight, in_flight
from reqtrail.cli.timeline import milliseconds
from reqtrail.cli.wording import counted, duration_text, shortened

EXAMPLES = """
Examples:

  reqtrail top --dsn postgresql://monitor@db/shop

  reqtrail top --by wal_bytes --window 1h --limit 30

  reqtrail top --once --json | jq '.in_flight[] | select(.blocked_by != [])'

It ends with Ctrl-C. Exit codes: 0, 2 wrong usage, 3 no server could be asked.
"""


@dataclass(frozen=True)
class _Wanted:
    dsns: Sequence[str]
    order: Order
    window: timedelta
    limit: int


@dataclass(frozen=True)
class _Seen:
    """What the servers said at one moment."""

    at: datetime
    in_flight: Sequence[InFlight] = ()
    costliest: Sequence[dict[str, Any]] = ()
    failures: dict[str, str] = field(default_factory=dict)
    """By server."""


def top(
    dsn: options.Dsns = None,
    by: Annotated[
        Order, typer.Option("--by", metavar="COLUMN", help=f"Sort by {', '.join(order.value for order in Order)}.")
    ] = Order.TOTAL_TIME,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, metavar="N", help="How many rows of each.")] = 15,
    window: Annotated[
        timedelta,
        typer.Option(
            "--window", parser=options.duration, metavar="TIME", show_default="5m", help="How far back: 30s, 5m, 2h."
        ),
    ] = timedelta(minutes=5),
    interval: Annotated[
        float, typer.Option("--interval", min=0.1, max=3600, metavar="SECONDS", help="Time between two looks.")
    ] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Look once, print, and end.")] = False,
    json: options.Json = False,
    config: options.Config = None,  # noqa: ARG001 - its callback has read it
) -> None:
    """Show the requests in flight, whom they wait for, and the costliest ones of the last minutes."""
    if not dsn:
        raise typer.BadParameter("nothing to look at: give --dsn, or name it in reqtrail.toml")
    wanted = _Wanted(dsn, by, window, limit)
    out = console()
    if once or json or not out.is_terminal:
        seen = _look(wanted)
        if json:
            print_plain(to_json({**asdict(seen), "order": by.value, "window_s": window.total_seconds()}))
        else:
            out.print(_screen(seen, wanted))
        raise typer.Exit(exit_codes.UNREADABLE if len(seen.failures) == len(set(dsn)) else exit_codes.OK)
    try:
        with Live(console=out, screen=True, auto_refresh=False) as live:
            while True:
                live.update(_screen(_look(wanted), wanted), refresh=True)
                time.sleep(interval)
    except KeyboardInterrupt:
        raise typer.Exit(exit_codes.OK) from None


def _look(wanted: _Wanted) -> _Seen:
    in_flight: list[InFlight] = []
    rows: list[dict[str, Any]] = []
    failures: dict[str, str] = {}
    answers = [(shown(dsn), ask_aside(_ask, dsn, wanted)) for dsn in dict.fromkeys(wanted.dsns)]
    for server, answer in answers:
        try:
            of_server, costly = answer.result()
        except SourceError as error:
            failures[server] = str(error)
            continue
        in_flight += of_server
        rows += [{"server": server, **row} for row in costly]
    in_flight.sort(key=lambda backend: backend.since)
    rows.sort(key=lambda row: row[wanted.order.value], reverse=True)
    return _Seen(datetime.now(timezone.utc), in_flight[: wanted.limit], rows[: wanted.limit], failures)


def _ask(dsn: str, wanted: _Wanted) -> tuple[list[InFlight], list[dict[str, Any]]]:
    with connected(dsn) as connection, reading(connection):
        requests = Requests(connection)
        rows = costliest(requests, wanted.window, wanted.order, wanted.limit)
        return in_flight(connection, requests), [dict(row) for row in rows]


def _screen(seen: _Seen, wanted: _Wanted) -> RenderableType:
    when = f"{seen.at:%Y-%m-%d %H:%M:%S} UTC"
    waiting = sum(1 for backend in seen.in_flight if backend.blocked_by_pids)
    head = f"{when}  {counted(len(seen.in_flight), 'request')} in flight, {waiting} waiting for a lock"
    failures = [Text(f"{server}: {reason}", "bold red") for server, reason in seen.failures.items()]
    window = duration_text(milliseconds(wanted.window))
    title = Text(f"\nThe costliest of the last {window}, by {wanted.order.value}", "bold")
    return Group(Text(head, "bold"), *failures, _in_flight_table(seen), title, _costliest_table(seen))


def _in_flight_table(seen: _Seen) -> RenderableType:
    if not seen.in_flight:
        return Text("none", "dim")
    table = _table("request", "pid", "since", "stmts", "state", "waits for", "query")
    for backend in seen.in_flight:
        holders = ", ".join(backend.blocked_by or map(str, backend.blocked_by_pids))
        waits = f"lock of {holders}" if holders else backend.wait
        table.add_row(
            Text(backend.request_id, "cyan"),
            str(backend.pid),
            duration_text(milliseconds(backend.seen - backend.since)),
            str(backend.statements),
            backend.state,
            Text(waits, "bold yellow" if holders else ""),
            Text(shortened(backend.query, 80)),
        )
    return table


def _costliest_table(seen: _Seen) -> RenderableType:
    if not seen.costliest:
        return Text("none", "dim")
    table = _table(
        "request", "total", "longest", "stmts", "txns", "errors", "rows", "WAL bytes", "last seen", "database"
    )
    for row in seen.costliest:
        table.add_row(
            Text(row["request_id"], "cyan"),
            duration_text(row["total_time"]),
            duration_text(row["max_time"]),
            str(row["statements"]),
            str(row["transactions"]),
            Text(str(row["errors"]), "bold red" if row["errors"] else ""),
            str(row["rows"]),
            str(row["wal_bytes"]),
            f"{row['last_seen'].astimezone(timezone.utc):%H:%M:%S}",
            str(row["database"] or ""),
        )
    return table


_TEXTS = ("request", "state", "waits for", "query", "database")


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1))
    for column in columns:
        table.add_column(
            column,
            justify="left" if column in _TEXTS else "right",
            no_wrap=column != "query",
            overflow="ellipsis",
            min_width=36 if column == "request" else None,
        )
    return table
