"""A connection to a database that has pg_stat_requests in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow, dict_row

from reqtrail.cli.sources import SourceError

EXTENSION = "pg_stat_requests"
_CONNECT_SECONDS = 5
_STATEMENT_MS = 15_000


def shown(dsn: str) -> str:
    """A DSN for people: host, port and database, nothing secret."""
    parts = conninfo_to_dict(dsn)
    host, port = parts.get("host") or "local socket", parts.get("port")
    return f"{host}{f':{port}' if port else ''}/{parts.get('dbname') or parts.get('user') or ''}"


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


@contextmanager
def connected(dsn: str) -> Iterator[psycopg.Connection[DictRow]]:
    """A connection for as long as the block runs. Raises SourceError, also for what the server refuses inside."""
    try:
        with psycopg.connect(
            dsn,
            autocommit=True,
            row_factory=dict_row,
            prepare_threshold=None,  # a PgBouncer may stand between
            connect_timeout=_CONNECT_SECONDS,
            application_name="reqtrail",
        ) as connection:
            yield connection
    except (psycopg.Error, UnicodeError) as error:  # the latter: a host's name that can be none
        raise SourceError(first_line(error)) from error


@contextmanager
def reading(connection: psycopg.Connection[DictRow]) -> Iterator[None]:
    """A transaction that only reads, and in which no statement runs for long. It leaves nothing set in the session."""
    with connection.transaction():
        connection.execute("SET TRANSACTION READ ONLY")
        connection.execute(f"SET LOCAL statement_timeout = {_STATEMENT_MS}")
        yield


class Requests:
    """The objects of the extension in one database."""

    def __init__(self, connection: psycopg.Connection[DictRow]) -> None:
        """Find them. Raises SourceError when the extension is not in this database."""
        self._connection = connection
        found = connection.execute(
            "SELECT n.nspname, e.extversion FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace"
            " WHERE e.extname = %s",
            [EXTENSION],
        ).fetchone()
        if found is None:
            raise SourceError(
                f"the extension is not in database {connection.info.dbname}: CREATE EXTENSION {EXTENSION}, or name the"
                " database that has it"
            )
        self.version: str = found["extversion"]
        self._schema: str = found["nspname"]
        schema = [sql.Identifier(self._schema).as_string(connection)]
        views = "SELECT relname AS name FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind = 'v'"
        look_ups = (
            "SELECT proname AS name FROM pg_proc WHERE pronamespace = %s::regnamespace"
            " AND proargtypes = ARRAY['text'::regtype]::oidvector"
        )
        self._views = {row["name"] for row in connection.execute(views, schema)}
        self._look_ups = {row["name"] for row in connection.execute(look_ups, schema)}

    def has(self, suffix: str) -> bool:
        """Whether this version of the extension has the view pg_stat_requests<suffix>."""
        return f"{EXTENSION}{suffix}" in self._views

    def rows_of(self, request_id: str, suffix: str = "") -> list[DictRow]:
        """The rows of one request in a view: by its look-up function, where there is one."""
        if f"{EXTENSION}{suffix}" not in self._look_ups:
            return self.select(suffix, "WHERE v.request_id = %s", [request_id])
        query = sql.SQL("SELECT * FROM {}(%s)").format(self.identifier(suffix))
        return self._connection.execute(query, [request_id]).fetchall()

    def select(self, suffix: str, rest: str = "", parameters: Sequence[Any] = ()) -> list[DictRow]:
        """The rows of a view, empty where this version has none. `rest` is SQL that follows the view's name."""
        if not self.has(suffix):
            return []
        query = sql.SQL("SELECT v.* FROM {} v ").format(self.identifier(suffix)) + sql.SQL(rest)
        return self._connection.execute(query, parameters).fetchall()

    def identifier(self, suffix: str) -> sql.Identifier:
        """The quoted name of a view or function, with its schema."""
        return sql.Identifier(self._schema, f"{EXTENSION}{suffix}")
