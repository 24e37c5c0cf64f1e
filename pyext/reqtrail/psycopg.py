"""The current request id on the transactions of psycopg 3 connections and pools, without a round trip of its own."""

import functools
import gc
import sys
from collections.abc import Callable, Generator
from typing import Any
from weakref import WeakKeyDictionary

from psycopg import AsyncConnection, Connection, errors, generators
from psycopg.pq import ConnStatus, TransactionStatus

from reqtrail._enabled import enabled
from reqtrail._native import psycopg_exec_command
from reqtrail.begin import BeginRider
from reqtrail.sql_comment import Tags

__all__ = ["connection_class", "install", "ride", "uninstall"]

# What is used of psycopg and not documented.
_NAMES = ("_begin_statement", "_pipeline", "_check_connection_ok", "_exec_command")

_Conversation = Generator[Any, Any, Any]

_riders: "WeakKeyDictionary[Any, BeginRider]" = WeakKeyDictionary()


def install(target: Any, *, mode: str = "guc", tags: Tags = ()) -> None:
    """Tell the server the current request id in each transaction of `target`: a connection, or a pool and all of its.

    target: an open connection, or a pool of psycopg_pool.
    mode: how; see `reqtrail.sql_comment.MODES`. A statement outside of a transaction has an id in a comment only.
    tags: static comments; see `reqtrail.sql_comment.Tags`.

    A second call changes mode and tags. Does nothing when the environment says REQTRAIL_ENABLED=false. Raises TypeError
    for any other target, ValueError for a mode or a tag that there is not.
    """
    is_pool = _is_pool(target)
    settings = BeginRider(mode, tags)  # raises now, also when it is switched off
    if not enabled():
        return
    rider = _rider_of(target)
    if rider is not None:
        rider.configure(mode, settings.commenter)
        rider.on = True
    elif is_pool:
        _riders[target] = settings
        target.connection_class = riding_class(target.connection_class, settings)
        # Those in use before those that wait: one that comes back between the two is met among the latter.
        for connection in [*_lent_by(target), *target._pool]:
            ride(connection, settings)
    else:
        ride(target, settings)


def uninstall(target: Any) -> None:
    """Undo `install`: from here on `target` sends what it would send without.

    Does nothing when it was not installed. Raises TypeError when `target` is neither a connection nor a pool.
    """
    _is_pool(target)
    rider = _rider_of(target)
    if rider is not None:
        rider.on = False


def connection_class(base: type[Any] = Connection, *, mode: str = "guc", tags: Tags = ()) -> type[Any]:
    """Return a class that extends `base`, whose connections tell the server the request id in each transaction.

    base: a class of connections, async or not. mode, tags: as in `install`. A connection that is made of it is a little
    faster than one that `install` changes. Returns `base` when the environment says REQTRAIL_ENABLED=false. Raises
    ValueError for a mode or a tag that there is not.
    """
    rider = BeginRider(mode, tags)
    return riding_class(base, rider) if enabled() else base


def riding_class(base: type[Any], rider: BeginRider) -> type[Any]:
    """Return the class of connections that extends `base` and lets the statement of `rider` ride; see `ride`."""
    return rider.riding(base, _overrides)


def ride(connection: "Connection[Any] | AsyncConnection[Any]", rider: BeginRider) -> None:
    """Let the statement of `rider` ride on each BEGIN that `connection` sends from here on, and its comments on others.

    Changes the class of the connection to one that extends it. A connection that has a rider keeps it.
    """
    for name in _NAMES:
        if not hasattr(connection, name):
            rider.stop(f"psycopg changed: {type(connection).__name__} has no {name} any more")
            return
    rider.board(connection, _overrides)


def _is_pool(target: Any) -> bool:
    pools = sys.modules.get("psycopg_pool")
    if pools is not None and isinstance(target, pools.ConnectionPool | pools.AsyncConnectionPool):
        return True
    if isinstance(target, Connection | AsyncConnection):
        return False
    raise TypeError(f"target is a psycopg connection or connection pool, not {type(target).__name__}")


def _lent_by(pool: Any) -> list[Any]:
    # No pool knows its connections while they are in use, but each of those knows its pool.
    connections = [each for each in gc.get_objects() if issubclass(type(each), Connection | AsyncConnection)]
    return [each for each in connections if getattr(each, "_pool", None) is pool]


def _rider_of(target: Any) -> BeginRider | None:
    return _riders.get(target) or getattr(type(target), "_reqtrail_rider", None)


def _overrides(base: type[Any], rider: BeginRider) -> dict[str, Any]:
    # Sync and async connections share psycopg's protocol generators, of which this is the one for its own commands.
    plain: Callable[..., _Conversation] = base._exec_command

    def begin_in_pipeline(connection: Any, command: bytes, statement: bytes) -> _Conversation:
        # The extended protocol takes one statement a message; queued behind each other they share the round trip.
        yield from plain(connection, command)
        yield from plain(connection, statement)

    def refused(connection: Any, command: bytes, results: list[Any]) -> _Conversation:
        error = errors.error_from_result(results[-1], encoding=connection.info.encoding)
        if connection.pgconn.status != ConnStatus.OK or rider.connection_is_lost(error.sqlstate):
            raise error
        # A plain BEGIN hardly ever fails, and applications are not prepared for one that does.
        if connection.pgconn.transaction_status == TransactionStatus.INERROR:
            yield from plain(connection, b"ROLLBACK")
        if rider.is_cancel(error.sqlstate):
            raise error
        begun = yield from plain(connection, command)
        rider.failed(error.sqlstate, error)  # by itself the BEGIN is good: it was the setting
        return begun

    def commented_begin(command: bytes) -> bytes:
        return rider.commented(command.decode("ascii")).encode("ascii")

    comments = commented_begin if rider.commenter.active else None
    exec_command = psycopg_exec_command(base, rider, comments, generators, begin_in_pipeline, refused)
    functools.update_wrapper(exec_command, plain)
    commented = ("cursor_factory", "server_cursor_factory") if rider.commenter.active else ()
    return {"_exec_command": exec_command, **{name: _commenting(name, rider) for name in commented}}


def _commenting(name: str, rider: BeginRider) -> property:
    """The attribute `name` of a connection, as a class of cursors that write the comments of `rider`."""

    def get(self: Any) -> Any:
        factory = self.__dict__[name]
        return rider.riding(factory, _cursor_overrides) if isinstance(factory, type) else factory

    def set_(self: Any, factory: Any) -> None:
        self.__dict__[name] = factory

    return property(get, set_)


def _cursor_overrides(base: type[Any], rider: BeginRider) -> dict[str, Any]:
    convert = base._convert_query

    def convert_query(self: Any, query: Any, params: Any = None) -> Any:
        converted = convert(self, query, params)
        if rider.commenter.active:
            # Behind psycopg's own parsing, for which a "%" means something. The comments are ASCII: the text's encoding
            # does not matter.
            converted.query = rider.commented(converted.query.decode("latin-1")).encode("latin-1")
        return converted

    return {"_convert_query": convert_query}
