"""What backends are doing for requests right now, and who waits for whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import DictRow

from reqtrail.cli.sources.database import Requests

_BACKENDS = """
SELECT a.pid, a.state, a.query, a.query_start, a.wait_event_type, a.wait_event, clock_timestamp() AS seen,
       CASE WHEN a.wait_event_type = 'Lock' THEN pg_blocking_pids(a.pid) END AS blocked_by_pids,
       (SELECT min(l.waitstart) FROM pg_locks l WHERE l.pid = a.pid AND NOT l.granted) AS waiting_since
  FROM pg_stat_activity a WHERE a.pid = ANY(%s)
"""


@dataclass(frozen=True)
class InFlight:
    """One backend that works for a request."""

    pid: int
    request_id: str
    database: str
    user: str
    since: datetime
    seen: datetime
    statements: int
    total_ms: float
    """Of its finished statements."""
    state: str
    query: str
    wait: str
    """What it waits for, as `type:event`; empty when it does not."""
    waiting_since: datetime | None
    """When it began to wait for a lock."""
    blocked_by_pids: Sequence[int]
    blocked_by: Sequence[str]
    """The requests of those pids, as far as they work for one."""


def in_flight(connection: psycopg.Connection[DictRow], requests: Requests) -> list[InFlight]:
    """All backends that work for a request now and that the role may see; the one that asks is not among them."""
    rows = [row for row in requests.select("_activity") if row["pid"] != connection.info.backend_pid]
    backends = connection.execute(_BACKENDS, [[row["pid"] for row in rows]]).fetchall() if rows else []
    by_pid = {backend["pid"]: backend for backend in backends}
    request_of = {row["pid"]: row["request_id"] for row in rows}
    return [_of_rows(row, by_pid[row["pid"]], request_of) for row in rows if row["pid"] in by_pid]


def _of_rows(row: Mapping[str, Any], backend: Mapping[str, Any], request_of: Mapping[int, str]) -> InFlight:
    pids = list(dict.fromkeys(backend["blocked_by_pids"] or ()))
    wait = ":".join(part for part in (backend["wait_event_type"], backend["wait_event"]) if part)
    return InFlight(
        pid=row["pid"],
        request_id=row["request_id"],
        database=row.get("database") or "",
        user=row.get("user") or "",
        since=row["since"],
        seen=backend["seen"],
        statements=row.get("statements") or 0,
        total_ms=row.get("total_time") or 0.0,
        state=backend["state"] or "",
        query=" ".join((backend["query"] or "").split()),
        # A client that has not sent its next statement is no wait of the server's.
        wait="" if backend["wait_event_type"] in ("Client", "Activity") else wait,
        waiting_since=backend["waiting_since"],
        blocked_by_pids=pids,
        blocked_by=list(dict.fromkeys(request_of[pid] for pid in pids if pid in request_of)),
    )
