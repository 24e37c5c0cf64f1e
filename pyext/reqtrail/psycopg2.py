"""The current request id on the transactions of psycopg2 connections and pools.

psycopg2 sends BEGIN itself, in C. So the id rides on the first statement of the transaction, in the same message.
"""

import functools
import re
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import psycopg2
from psycopg2 import extensions
from psycopg2.pool import AbstractConnectionPool
from psycopg2.sql import Composable

from reqtrail._enabled import enabled
from reqtrail._native import psycopg2_execute
from reqtrail.begin import BeginRider
from reqtrail.sql_comment import Tags

__all__ = ["FirstStatementRider", "connection_class", "install", "ride", "uninstall"]

_BETWEEN_STATEMENTS = re.compile(r"/\*|--[^\n\r]*|[\s;]+")
_IN_COMMENT = re.compile(r"/\*|\*/|[^*/]+|[*/]")
_LINE = re.compile(r"^LINE (\d+): ", re.MULTILINE)
_STATUS_READY = extensions.STATUS_READY
_WRITTEN_BY_PSYCOPG2 = ("callproc", "copy_from", "copy_to")
_ARGUMENTS_OF_CONNECT = ("dsn", "connection_factory", "cursor_factory")

_Again = Callable[[Any, str, str | bytes, psycopg2.Error | None], bool]


class FirstStatementRider(BeginRider):
    """Decides what rides on the first statement of each transaction of an engine, a pool or a connection.

    Any thread may use it.
    """

    def __init__(self, mode: str = "guc", tags: Tags = ()) -> None:
        """Start switched on. Raises what `configure` raises."""
        super().__init__(mode, tags)
        self._early: WeakSet[Any] = WeakSet()
        self._had_early = False  # to ask an empty WeakSet takes longer

    def begin_early(self, connection: Any) -> None:
        """Take note that the transaction was begun before its first statement (two-phase), which is still due."""
        self._early.add(connection)
        if not self._had_early:
            with self._lock:
                self._had_early = True
                self._override()

    @property
    def asks_of_each(self) -> bool:
        """Whether each statement may be another one than the application's, and not just those that begin something."""
        return self._had_early or self.commenter.active

    def may_change(self, connection: Any) -> bool:
        """Say whether the next statement of `connection` can be another one than the application's."""
        return self.on and (connection.status == _STATUS_READY or self.asks_of_each)

    def first_statement(self, connection: Any) -> str | None:
        """Return the SQL that is to ride on the next statement of `connection`; None unless a transaction begins."""
        is_early = self._had_early and connection in self._early
        if is_early:
            self._early.discard(connection)
        if connection.status == _STATUS_READY:
            return None if connection.autocommit else self.statement()
        return self.statement() if is_early else None


_riders: "WeakKeyDictionary[Any, FirstStatementRider]" = WeakKeyDictionary()


def install(target: Any, *, mode: str = "guc", tags: Tags = ()) -> None:
    """Tell the server the current request id in each transaction of `target`: a connection, or a pool and all of its.

    target: an open connection, or a pool.
    mode: how; see `reqtrail.sql_comment.MODES`. A statement outside of a transaction has an id in a comment only.
    tags: static comments; see `reqtrail.sql_comment.Tags`.

    Of a connection it reaches the cursors that `cursor()` makes from here on without an argument `cursor_factory`, and
    not `tpc_begin`; `connection_class` reaches those too. A second call changes mode and tags. Does nothing when the
    environment says REQTRAIL_ENABLED=false. Raises TypeError for any other target, ValueError for a mode or a tag that
    there is not.
    """
    rider = _rider_of(target)
    settings = FirstStatementRider(mode, tags)  # raises now, also when it is switched off
    if not enabled():
        return
    if rider is not None:
        rider.configure(mode, settings.commenter)
        rider.on = True
        return
    _riders[target] = settings
    if isinstance(target, AbstractConnectionPool):
        _ride_all(target, settings)
    else:
        ride(target, settings)


def uninstall(target: Any) -> None:
    """Undo `install`: from here on `target` sends what it would send without.

    Does nothing when it was not installed. Raises TypeError when `target` is neither a connection nor a pool.
    """
    rider = _rider_of(target)
    if rider is not None:
        rider.on = False


def connection_class(
    base: type[Any] = extensions.connection, *, mode: str = "guc", tags: Tags = ()
) -> type[extensions.connection]:
    """Return a class for `psycopg2.connect(connection_factory=)` whose connections tell the server the request id.

    It extends `base`, and reaches each of a connection's cursors and two-phase transactions. mode, tags: as in
    `install`. Returns `base` when the environment says REQTRAIL_ENABLED=false. Raises ValueError for a mode or a tag
    that there is not.
    """
    rider = FirstStatementRider(mode, tags)
    return rider.riding(base, _connection_overrides) if enabled() else base


def ride(connection: Any, rider: FirstStatementRider) -> None:
    """Let the statement of `rider` ride on the first of each transaction of `connection`, and its comments on all.

    Changes the connection's `cursor_factory` to one that extends it.
    """
    if not hasattr(type(connection), "_reqtrail_rider"):
        connection.cursor_factory = rider.riding(_cursor_class(connection), _cursor_overrides)


def _rider_of(target: Any) -> FirstStatementRider | None:
    if not isinstance(target, extensions.connection | AbstractConnectionPool):
        raise TypeError(f"target is a psycopg2 connection or connection pool, not {type(target).__name__}")
    return _riders.get(target) or getattr(type(target), "_reqtrail_rider", None)


def _cursor_class(connection: Any) -> type[Any]:
    """The class of the cursors that `connection` makes by default, which a class of connections may have decided."""
    if connection.cursor_factory is not None:
        return connection.cursor_factory  # type: ignore[no-any-return]  # a class, says its documentation
    if type(connection).cursor is extensions.connection.cursor:
        return extensions.cursor
    with connection.cursor() as cursor:
        return type(cursor)


def _ride_all(pool: Any, rider: FirstStatementRider) -> None:
    # The pools have no hook for new connections, but keep what they hand to connect().
    pool._kwargs.update(zip(_ARGUMENTS_OF_CONNECT, pool._args, strict=False))
    pool._args = ()
    base = pool._kwargs.get("connection_factory") or extensions.connection
    pool._kwargs["connection_factory"] = rider.riding(base, _connection_overrides)
    for connection in [*pool._pool, *pool._used.values()]:
        ride(connection, rider)


def _connection_overrides(base: type[Any], rider: FirstStatementRider) -> dict[str, Any]:
    plain_cursor, plain_tpc_begin = base.cursor, base.tpc_begin

    def cursor(self: Any, name: Any = None, cursor_factory: Any = None, **how: Any) -> Any:
        if cursor_factory is None:
            cursor_factory = self.cursor_factory or _default_of(self, plain_cursor)
        return plain_cursor(self, name, cursor_factory=rider.riding(cursor_factory, _cursor_overrides), **how)

    def tpc_begin(self: Any, xid: Any) -> None:
        plain_tpc_begin(self, xid)
        rider.begin_early(self)

    return {"cursor": cursor, "tpc_begin": tpc_begin}


def _default_of(connection: Any, plain_cursor: Callable[[Any], Any]) -> type[Any]:
    if plain_cursor is extensions.connection.cursor:
        return extensions.cursor
    with plain_cursor(connection) as cursor:
        return type(cursor)


def _cursor_overrides(base: type[Any], rider: FirstStatementRider) -> dict[str, Any]:
    plain, plain_executemany, plain_query = base.execute, base.executemany, base.query
    plain_copy_expert = base.copy_expert

    def execute(self: Any, query: Any, vars: Any = None) -> Any:  # noqa: A002 - the name in psycopg2
        self._reqtrail_before = None
        if not rider.may_change(self.connection) or not (text := _text(query, self)):
            return plain(self, query, vars)
        if rider.commenter.active:
            text = _prefixed("", text, lambda sql: rider.commented(sql, percent=vars is not None))
        if self.name is not None:
            self.mogrify(text, vars)  # raises now what would be raised with the transaction begun already
            _send_before(self.connection, rider)
        elif self.connection.status != _STATUS_READY:
            _send_before(self.connection, rider)  # a two-phase transaction: `_together` could not take it back
        elif (statement := rider.first_statement(self.connection)) is not None:
            return _together(self, statement, text, lambda sql: plain(self, sql, vars), again)
        return plain(self, text, vars)

    def executemany(self: Any, query: Any, vars_list: Any) -> Any:
        self._reqtrail_before = None
        if not rider.may_change(self.connection) or not (text := _text(query, self)):
            return plain_executemany(self, query, vars_list)
        _send_before(self.connection, rider)
        text = _prefixed("", text, lambda sql: rider.commented(sql, percent=True))
        return plain_executemany(self, text, vars_list)

    def copy_expert(self: Any, sql: Any, *args: Any, **kwargs: Any) -> Any:
        if not rider.may_change(self.connection) or not (text := _text(sql, self)):
            return plain_copy_expert(self, sql, *args, **kwargs)
        _send_before(self.connection, rider)
        return plain_copy_expert(self, _prefixed("", text, rider.commented), *args, **kwargs)

    def query(self: Any) -> Any:
        sent = plain_query.__get__(self, type(self))
        return sent.removeprefix(self._reqtrail_before.encode("ascii")) if sent and self._reqtrail_before else sent

    def again(self: Any, before: str, text: str | bytes, error: psycopg2.Error | None) -> bool:
        return _prepare_again(self, before, text, error, rider)

    hook = execute if rider.asks_of_each else psycopg2_execute(base, rider, execute, psycopg2.Error, again)
    functools.update_wrapper(hook, plain)
    members = {"execute": hook, "executemany": executemany, "query": property(query), "_reqtrail_before": None}
    members["copy_expert"] = copy_expert
    members |= {name: _behind(getattr(base, name), rider) for name in _WRITTEN_BY_PSYCOPG2}
    return members if base.__dictoffset__ else {"__slots__": ("__dict__",), **members}


def _behind(plain: Callable[..., Any], rider: FirstStatementRider) -> Callable[..., Any]:
    """A method whose SQL psycopg2 writes itself: a transaction that begins with it gets a message with the id first."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        _send_before(self.connection, rider)
        return plain(self, *args, **kwargs)

    return method


def _send_before(connection: Any, rider: FirstStatementRider) -> None:
    statement = rider.first_statement(connection)
    if statement is None:
        return
    try:
        with extensions.cursor(connection) as cursor:
            cursor.execute(statement)
    except psycopg2.Error as error:
        if connection.closed or rider.connection_is_lost(error.pgcode) or rider.is_cancel(error.pgcode):
            raise
        rider.failed(error.pgcode, error)
        connection.rollback()


def _together(
    cursor: Any, statement: str, text: str | bytes, execute: Callable[[str | bytes], Any], again: _Again
) -> Any:
    """Execute `text` with `statement` in front of it, in one message, so that nobody can tell by the outcome."""
    before = f"{statement};\n"
    cursor._reqtrail_before = before
    try:
        result = execute(_prefixed(before, text))
    except psycopg2.Error as error:
        if not again(cursor, before, text, error):
            raise
    else:
        if cursor.statusmessage != "SET" or not again(cursor, before, text, None):
            return result
    return execute(text)


def _prepare_again(
    cursor: Any, before: str, text: str | bytes, error: psycopg2.Error | None, rider: FirstStatementRider
) -> bool:
    """Say whether `text` is to be executed by itself, after it failed behind `before` or nothing but a SET was done."""
    if error is None:
        return _has_no_statement(_as_str(text))  # which psycopg2 refuses
    connection = cursor.connection
    refused = before.split()[2] in (error.diag.message_primary or "")  # the setting, and not the application's own
    if connection.closed or not (refused or _did_nothing(error, text)):
        _correct_line(error)
        return False
    if refused:
        rider.failed(error.pgcode, error)
    connection.rollback()
    cursor._reqtrail_before = None
    return True


def _has_no_statement(text: str) -> bool:
    """Whether it is empty but for comments, which may be in each other."""
    text = text.partition("\0")[0]  # libpq reads no further
    depth = at = 0
    while at < len(text):
        found = (_IN_COMMENT if depth else _BETWEEN_STATEMENTS).match(text, at)
        if found is None:
            return False
        depth += (found[0] == "/*") - (found[0] == "*/")
        at = found.end()
    return True


def _did_nothing(error: psycopg2.Error, text: str | bytes) -> bool:
    """Whether the server refused the one statement of `text` before it did anything: it points at a place in it.

    Sent again without the SET in front, it is refused with the right place.
    """
    return error.diag.statement_position is not None and ";" not in _as_str(text).rstrip("; \t\n")


def _correct_line(error: psycopg2.Error) -> None:
    """Count the lines of the message without that of the SET."""
    if error.args and isinstance(error.args[0], str):
        message = _LINE.sub(lambda found: f"LINE {int(found[1]) - 1}: ", error.args[0], count=1)
        error.args = (message, *error.args[1:])


def _text(query: Any, cursor: Any) -> str | bytes | None:
    """The SQL of what an application hands to execute(); None for what psycopg2 refuses."""
    if isinstance(query, str):
        return query
    if isinstance(query, Composable):
        query = query.as_string(cursor)
    return query if isinstance(query, str | bytes) else None


def _as_str(text: str | bytes) -> str:
    return text if isinstance(text, str) else text.decode("latin-1")


def _prefixed(prefix: str, text: str | bytes, change: Callable[[str], str] | None = None) -> str | bytes:
    """`text` changed, with `prefix` in front. Both are ASCII, so that the encoding of bytes does not matter."""
    changed = prefix + (_as_str(text) if change is None else change(_as_str(text)))
    return changed if isinstance(text, str) else changed.encode("latin-1")
