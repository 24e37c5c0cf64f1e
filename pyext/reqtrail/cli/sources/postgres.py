"""One PostgreSQL server with pg_stat_requests: what the request did and cost there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any

import psycopg
from psycopg.rows import DictRow

from reqtrail.cli.sources import Found
from reqtrail.cli.sources.database import Requests, connected, reading, shown
from reqtrail.cli.sources.in_flight import InFlight, in_flight
from reqtrail.cli.timeline import Event, StatementTotal
from reqtrail.cli.wording import counted

_VIEWS = ("_statements", "_errors", "_slow", "_activity")


class PostgresSource:
    """What one server knows of a request, in all its databases."""

    kind = "dsn"

    def __init__(self, dsn: str) -> None:
        """Make one. `dsn` is a libpq URL or key=value string of the database that has the extension."""
        self._dsn = dsn
        self.name = shown(dsn)

    def collect(self, request_id: str) -> Found:
        """Ask it. Views that its version of the extension lacks are named in the note. Raises SourceError."""
        with connected(self._dsn) as connection, reading(connection):
            requests = Requests(connection)
            rows = requests.rows_of(request_id)
            events = [
                *(self._database_event(row) for row in rows),
                *(self._error_event(row) for row in requests.rows_of(request_id, "_errors")),
                *(self._slow_event(row) for row in requests.rows_of(request_id, "_slow")),
            ]
            for backend in in_flight(connection, requests):
                if backend.request_id == request_id:
                    events += self._in_flight_events(backend)
            totals = requests.rows_of(request_id, "_statements")
            statements = list(_statements(totals, _texts(connection, totals)))
            missing = [f"pg_stat_requests{view}" for view in _VIEWS if not requests.has(view)]
        note = f"{counted(len(rows), 'row')}, {counted(len(statements), 'statement')}"
        if missing:
            note += f"; version {requests.version} has no {', '.join(missing)}"
        return Found(events, statements, note)

    def _database_event(self, row: Mapping[str, Any]) -> Event:
        work = f"{counted(row['transactions'], 'transaction')}, {counted(row['statements'], 'statement')}"
        return Event(
            "database",
            f"{work} as {row['user']} in {row['database']}",
            self.name,
            row["first_seen"],
            row["last_seen"],
            failed=bool(row["errors"]),
            details={name: value for name, value in row.items() if value is not None},
        )

    def _error_event(self, row: Mapping[str, Any]) -> Event:
        return Event("error", row["message"], self.name, row["time"], failed=True, details=dict(row))

    def _slow_event(self, row: Mapping[str, Any]) -> Event:
        text = " ".join(str(row["text"]).split())
        start = row["time"] - timedelta(milliseconds=row["duration"])
        return Event("statement", text, self.name, start, row["time"], details=dict(row))

    def _in_flight_events(self, backend: InFlight) -> Iterator[Event]:
        details = {"pid": backend.pid, "state": backend.state, "query": backend.query, "wait": backend.wait}
        name = f"{backend.state or 'working'} in {backend.database} (pid {backend.pid}): {backend.query}"
        yield Event("database", name, self.name, backend.since, backend.seen, running=True, details=details)
        if backend.blocked_by_pids:
            held = {"holder_pids": backend.blocked_by_pids, "held_by": backend.blocked_by, **details}
            start = backend.waiting_since or backend.seen
            yield Event("lock", "waits for a lock", self.name, start, backend.seen, running=True, details=held)


def _statements(rows: Iterable[Mapping[str, Any]], texts: Mapping[int, str]) -> Iterator[StatementTotal]:
    for row in rows:
        yield StatementTotal(
            row["queryid"],
            row["calls"],
            row["total_time"],
            row["max_time"],
            row["rows"],
            row.get("query") or texts.get(row["queryid"]),
        )


def _texts(connection: psycopg.Connection[DictRow], rows: Iterable[Mapping[str, Any]]) -> dict[int, str]:
    """The texts that pg_stat_statements has of these statements; none where it is not there or not to be read."""
    queryids = [row["queryid"] for row in rows]
    try:
        with connection.transaction():  # a savepoint: what fails here ends nothing else
            found = connection.execute(
                "SELECT queryid, min(query) AS query FROM pg_stat_statements WHERE queryid = ANY(%s) GROUP BY queryid",
                [queryids],
            ).fetchall()
    except psycopg.Error:  # it is not created here, not loaded, or closed to this role
        return {}
    return {row["queryid"]: " ".join(row["query"].split()) for row in found}
