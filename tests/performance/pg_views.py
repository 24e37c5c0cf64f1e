"""Reading pg_stat_requests with 100,000 requests in it, and the memory that it takes."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import psycopg

from devstack.postgres import Postgres
from tests.performance.report import BenchRow

COMMAND = "python -m tests.performance pg_views"
LOOK_UP_GOAL_US = 100
VIEW_GOAL_MS = 300

_RECORDS = 100_000
_LOOK_UPS = 20_000
_REPEATS = 5
_ID = "4f1c2b6e-8d0a-4f7e-9b1a-' || lpad(({number})::text, 12, '0')"

_FILL = f"""
DO $$ BEGIN
  FOR number IN 1 .. {_RECORDS} LOOP
    PERFORM set_config('pg_stat_requests.request_id', '{_ID.format(number="number")}, true);
    COMMIT;
  END LOOP;
END $$"""
_PROBE = f"""
SELECT count(*) FROM generate_series(1, {_LOOK_UPS}) number,
  LATERAL {{function}}('{_ID.format(number=f"number * 7919 % {_RECORDS} + 1")})"""


def rows() -> list[BenchRow]:
    """Measure. Takes about half a minute and needs the private PostgreSQL (`make build`)."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        # Ids do not spread evenly over the shards: with a little room to spare, all of them find a place.
        settings = {"pg_stat_requests.max": _RECORDS * 5 // 4}
        with Postgres(directory / "server", settings=settings) as server, server.connect() as connection:
            return _measured(connection)


def _measured(connection: psycopg.Connection[tuple[object, ...]]) -> list[BenchRow]:
    connection.execute("CREATE EXTENSION pg_stat_requests")
    connection.execute("SET jit = off")
    connection.execute(_FILL)
    held, capacity, memory = connection.execute(
        "SELECT used, capacity, memory_bytes FROM pg_stat_requests_info"
    ).fetchall()[0]
    assert isinstance(held, int)
    assert isinstance(capacity, int)
    assert isinstance(memory, int)
    if held < _RECORDS:
        raise RuntimeError(f"only {held} of {_RECORDS} requests are held")

    # The same query around a function that does nothing, as what is not the look-up's own time.
    connection.execute(
        "CREATE FUNCTION nothing(text) RETURNS SETOF pg_stat_requests LANGUAGE plpgsql AS 'BEGIN RETURN; END'"
    )
    probe, empty = _PROBE.format(function="pg_stat_requests"), _PROBE.format(function="nothing")
    look_ups = [(_seconds(connection, probe)) / _LOOK_UPS * 1e6 for _ in range(_REPEATS)]
    overhead = min(_seconds(connection, empty) for _ in range(_REPEATS)) / _LOOK_UPS * 1e6
    costliest = "SELECT * FROM pg_stat_requests ORDER BY total_time DESC LIMIT 10"
    views = [_seconds(connection, costliest) * 1e3 for _ in range(_REPEATS)]
    fetched = [_seconds_to_fetch(connection, "SELECT * FROM pg_stat_requests") * 1e3 for _ in range(_REPEATS)]
    return [
        _row(
            f"extension: look-up of one id among {_RECORDS:,}, in the server",
            "us",
            look_ups,
            LOOK_UP_GOAL_US,
            {"the same query around an empty plpgsql function": overhead},
        ),
        _row(f"extension: the costliest of {_RECORDS:,} requests, from the whole view", "ms", views, VIEW_GOAL_MS, {}),
        _row(f"extension: the whole view, {_RECORDS:,} rows, sent to the client", "ms", fetched, None, {}),
        _row("extension: shared memory for each request held", "bytes", [memory / capacity], None, {}),
    ]


def _seconds(connection: psycopg.Connection[tuple[object, ...]], query: str) -> float:
    started = time.perf_counter()
    connection.execute(query)
    return time.perf_counter() - started


def _seconds_to_fetch(connection: psycopg.Connection[tuple[object, ...]], query: str) -> float:
    """By COPY in binary: what a client makes of the rows is not counted."""
    started = time.perf_counter()
    with connection.cursor() as cursor, cursor.copy(f"COPY ({query}) TO STDOUT (FORMAT binary)") as copy:
        for _ in copy:
            pass
    return time.perf_counter() - started


def _row(name: str, unit: str, measured: list[float], goal: float | None, peers: dict[str, float]) -> BenchRow:
    best = min(measured)
    return BenchRow(
        name=name,
        unit=unit,
        ours=round(best, 2),
        goal=goal,
        better="lower",
        peers={peer: round(value, 2) for peer, value in peers.items()},
        spread=round((max(measured) - best) / 2 / best, 4),
        command=COMMAND,
    )
