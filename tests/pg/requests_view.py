"""What the tests read from the views of pg_stat_requests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.waiting import wait_for as wait_for

Connection = psycopg.Connection[tuple[object, ...]]
Row = dict[str, Any]

SET_ID = "SELECT set_config('pg_stat_requests.request_id', %s, true)"


def read(connection: Connection, query: str, *parameters: object) -> list[Row]:
    """The rows of a query, as dictionaries."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, parameters or None).fetchall()


def rows(connection: Connection, request_id: str) -> list[Row]:
    """The rows of one request, by the look-up function; checked to be what the view shows."""
    found = read(connection, "SELECT * FROM pg_stat_requests(%s) ORDER BY dbid, userid", request_id)
    shown = read(connection, "SELECT * FROM pg_stat_requests WHERE request_id = %s ORDER BY dbid, userid", request_id)
    assert found == shown
    return found


def row(connection: Connection, request_id: str) -> Row:
    """The one row of a request."""
    (only,) = rows(connection, request_id)
    return only


def counts(connection: Connection, request_id: str) -> tuple[int, int, int, int]:
    """(transactions, rollbacks, statements, errors) of the one row of a request."""
    only = row(connection, request_id)
    return only["transactions"], only["rollbacks"], only["statements"], only["errors"]


def info(connection: Connection) -> Row:
    """The row of pg_stat_requests_info."""
    (only,) = read(connection, "SELECT * FROM pg_stat_requests_info")
    return only


def force_parallel(connection: Connection) -> None:
    """Have every query that may run in parallel do so, by one worker."""
    setting = "debug_parallel_query" if connection.info.server_version >= 160000 else "force_parallel_mode"
    connection.execute(f"SET {setting} = on")


def fail_twice_in_a_block(connection: Connection) -> None:
    """Begin a transaction that the first error aborts; it refuses the statement after it, and stays open."""
    connection.execute("BEGIN")
    for _ in range(2):
        with pytest.raises(psycopg.Error):
            connection.execute("SELECT 1 / 0")


@contextmanager
def tagged(connection: Connection, request_id: str) -> Iterator[None]:
    """A transaction with an id, committed at the end and rolled back on an error."""
    connection.execute("BEGIN")
    connection.execute(SET_ID, (request_id,))
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
