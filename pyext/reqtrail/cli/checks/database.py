"""Is pg_stat_requests loaded, created, open to the role, and does it record?"""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
from psycopg.rows import DictRow

from reqtrail.cli.checks import Given, Result, skipped, verdict
from reqtrail.cli.sources import SourceError
from reqtrail.cli.sources.database import EXTENSION, Requests, connected, first_line, reading, shown

_OLDEST = 15
_CHECKS = ("connection", "preloaded", "created", "rights", "records", "server log")


def check_database(given: Given) -> Iterator[Result]:
    """Go through each server that is given."""
    if not given.dsns:
        yield from skipped("PostgreSQL", _CHECKS, "--dsn")
    for dsn in given.dsns:
        part = f"PostgreSQL {shown(dsn)}"
        try:
            with connected(dsn) as connection:
                yield from _steps(part, connection, given.probe_id)
        except SourceError as error:
            yield Result(
                part,
                "connection",
                "failed",
                str(error),
                "See that the server runs, and the DSN, pg_hba.conf and password.",
            )


def _steps(part: str, connection: psycopg.Connection[DictRow], probe_id: str) -> Iterator[Result]:
    major = connection.info.server_version // 10000
    remedy = f"pg_stat_requests supports PostgreSQL {_OLDEST} and later."
    yield verdict(part, "connection", major >= _OLDEST, f"PostgreSQL {major}", remedy)
    preloaded = _setting(connection, f"{EXTENSION}.max") is not None
    yield verdict(
        part,
        "preloaded",
        preloaded,
        "the library is loaded" if preloaded else "the library is not loaded",
        f"Add {EXTENSION} to shared_preload_libraries in postgresql.conf, and restart the server.",
    )
    requests = _created(connection)
    yield _creation(part, connection, requests)
    if requests is None or not preloaded:
        return
    yield _rights(part, connection)
    try:
        yield _records(part, connection, requests, probe_id)
    except psycopg.Error as error:
        yield Result(
            part, "records", "failed", first_line(error), f"GRANT SELECT ON {EXTENSION} TO {connection.info.user};"
        )
    yield from _server_log(part, connection)


def _setting(connection: psycopg.Connection[DictRow], name: str) -> str | None:
    row = connection.execute("SELECT current_setting(%s, true) AS value", [name]).fetchone()
    value: str | None = row["value"] if row else None
    return value


def _created(connection: psycopg.Connection[DictRow]) -> Requests | None:
    try:
        return Requests(connection)
    except SourceError:
        return None


def _creation(part: str, connection: psycopg.Connection[DictRow], requests: Requests | None) -> Result:
    available = connection.execute(
        "SELECT default_version FROM pg_available_extensions WHERE name = %s", [EXTENSION]
    ).fetchone()
    if requests is None and available is None:
        remedy = "Install the extension's files on the server: make -f Makefile.pgxs install, or its package."
        return Result(part, "created", "failed", "the server does not have its files", remedy)
    if requests is None:
        remedy = f"In database {connection.info.dbname}: CREATE EXTENSION {EXTENSION};"
        return Result(part, "created", "failed", "it is not in this database", remedy)
    newest = available["default_version"] if available else requests.version
    told = f"version {requests.version}" + ("" if newest == requests.version else f", but the server has {newest}")
    remedy = f"ALTER EXTENSION {EXTENSION} UPDATE;"
    return verdict(part, "created", newest == requests.version, told, remedy, else_state="warning")


def _rights(part: str, connection: psycopg.Connection[DictRow]) -> Result:
    row = connection.execute(
        "SELECT current_user AS role, pg_has_role('pg_read_all_stats', 'USAGE') AS reads_all"
    ).fetchone()
    role, reads_all = (row["role"], row["reads_all"]) if row else ("?", False)
    told = f"{role} sees the requests of {'all roles' if reads_all else 'its own roles only'}"
    return verdict(part, "rights", reads_all, told, f'GRANT pg_read_all_stats TO "{role}";')


def _records(part: str, connection: psycopg.Connection[DictRow], requests: Requests, probe_id: str) -> Result:
    with reading(connection):
        connection.execute("SELECT set_config('pg_stat_requests.request_id', %s, true)", [probe_id])
        connection.execute("SELECT 1")
    rows = requests.rows_of(probe_id)
    recorded = any(row["transactions"] >= 1 for row in rows)
    told = "a tagged transaction was recorded" if recorded else "a tagged transaction left no row"
    return verdict(part, "records", recorded, told, f"See what {EXTENSION}_info says that it holds and refuses.")


def _server_log(part: str, connection: psycopg.Connection[DictRow]) -> Iterator[Result]:
    carried = _setting(connection, f"{EXTENSION}.log_request_id") == "on"
    told = "its lines carry the request id" if carried else "its lines do not carry the request id"
    yield verdict(part, "server log", carried, told, f"{EXTENSION}.log_request_id = on", else_state="warning")
    waits = _setting(connection, "log_lock_waits") == "on"
    told = (
        "waits for locks are logged" if waits else "waits for locks are not logged: afterwards nobody can tell of them"
    )
    yield verdict(part, "lock waits", waits, told, "log_lock_waits = on", else_state="warning")
