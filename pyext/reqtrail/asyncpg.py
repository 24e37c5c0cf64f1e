"""The current request id on the transactions of asyncpg connections and pools, without a round trip of its own."""

import functools
import inspect
import itertools
from typing import Any

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from reqtrail._enabled import enabled
from reqtrail._native import asyncpg_execute
from reqtrail.begin import BeginRider
from reqtrail.sql_comment import Tags

__all__ = ["install", "ride", "uninstall"]

# Every text with which asyncpg's Transaction starts one. An application's own scripts are left as they are.
_BEGINS = frozenset(
    f"BEGIN{isolation}{readonly}{deferrable};"
    for isolation, readonly, deferrable in itertools.product(
        (
            "",
            " ISOLATION LEVEL READ UNCOMMITTED",
            " ISOLATION LEVEL READ COMMITTED",
            " ISOLATION LEVEL REPEATABLE READ",
            " ISOLATION LEVEL SERIALIZABLE",
        ),
        ("", " READ ONLY"),
        ("", " DEFERRABLE"),
    )
)


def install(target: Any, *, mode: str = "guc", tags: Tags = ()) -> None:
    """Tell the server the current request id in each transaction of `target`: a connection, or a pool and all of its.

    target: an open connection, or a pool.
    mode: how; see `reqtrail.sql_comment.MODES`. A statement outside of a transaction has an id in a comment only.
    tags: static comments; see `reqtrail.sql_comment.Tags`.

    A second call changes mode and tags. Does nothing when the environment says REQTRAIL_ENABLED=false. Raises TypeError
    for any other target, ValueError for a mode or a tag that there is not.
    """
    target = _checked(target)
    settings = BeginRider(mode, tags)  # raises now, also when it is switched off
    if not enabled():
        return
    rider = _rider_of(target)
    if rider is None:
        if isinstance(target, asyncpg.Pool):
            _ride_all(target, settings)
        else:
            ride(target, settings)
    else:
        rider.configure(mode, settings.commenter)
        rider.on = True


def uninstall(target: Any) -> None:
    """Undo `install`: from here on `target` sends what it would send without.

    Does nothing when it was not installed. Raises TypeError when `target` is neither a connection nor a pool.
    """
    rider = _rider_of(_checked(target))
    if rider is not None:
        rider.on = False


def ride(connection: asyncpg.Connection, rider: BeginRider) -> None:
    """Let the statement of `rider` ride on each BEGIN that `connection` sends from here on, and its comments on others.

    Changes the class of the connection to one that extends it. A connection that has a rider keeps it.
    """
    rider.board(connection, _overrides)


def _checked(target: Any) -> Any:
    if isinstance(target, PoolConnectionProxy):
        target = target._con
    if not isinstance(target, asyncpg.Connection | asyncpg.Pool):
        raise TypeError(f"target is an asyncpg Connection or Pool, not {type(target).__name__}")
    return target


def _rider_of(target: Any) -> BeginRider | None:
    return getattr(target._init if isinstance(target, asyncpg.Pool) else type(target), "_reqtrail_rider", None)


def _ride_all(pool: Any, rider: BeginRider) -> None:
    initialise = pool._init

    async def board_and_initialise(connection: asyncpg.Connection) -> None:
        ride(connection, rider)
        if initialise is not None:
            await initialise(connection)

    board_and_initialise._reqtrail_rider = rider  # type: ignore[attr-defined]  # a pool takes no weak reference
    pool._init = board_and_initialise
    for holder in pool._holders:
        if holder._con is not None:
            ride(holder._con, rider)


def _overrides(base: type[Any], rider: BeginRider) -> dict[str, Any]:
    def recover(connection: asyncpg.Connection, query: str, timeout: float | None, error: Any) -> Any:
        if connection.is_closed() or rider.connection_is_lost(error.sqlstate):
            return None
        return begin_plainly(connection, query, timeout, error)

    # A plain BEGIN hardly ever fails, and asyncpg is not prepared for one that does.
    async def begin_plainly(connection: asyncpg.Connection, query: str, timeout: float | None, error: Any) -> Any:
        if connection.is_in_transaction():  # by this very message
            await base.execute(connection, "ROLLBACK;")
        if rider.is_cancel(error.sqlstate):
            connection._top_xact = None  # else asyncpg takes the next transaction for a savepoint of this one
            raise error
        begun = await base.execute(connection, query, timeout=timeout)
        rider.failed(error.sqlstate, error)  # by itself the BEGIN is good: it was the setting
        return begun

    execute = asyncpg_execute(base, rider, _BEGINS, rider.comments, asyncpg.PostgresError, recover)
    functools.update_wrapper(execute, base.execute)
    if hasattr(inspect, "markcoroutinefunction"):  # before Python 3.12 there is no way to say it
        inspect.markcoroutinefunction(execute)
    return {"execute": execute, **(_commented_statements(base, rider) if rider.commenter.active else {})}


def _commented_statements(base: type[Any], rider: BeginRider) -> dict[str, Any]:
    get_statement = base._get_statement
    copy_in, copy_out = base._copy_in, base._copy_out

    def _get_statement(
        self: asyncpg.Connection, query: str, timeout: float | None, *, use_cache: bool = True, **how: Any
    ) -> Any:
        # Without the cache it is for Connection.prepare(): such a statement outlives the request that made it.
        if not use_cache:
            return get_statement(self, query, timeout, use_cache=use_cache, **how)
        # A text with an id never comes again: in the cache it would push out those that do.
        lasting = not (rider.on and rider.commenter.front())
        return get_statement(self, rider.commented(query), timeout, use_cache=lasting, **how)

    def _copy_in(self: asyncpg.Connection, statement: str, *how: Any) -> Any:
        return copy_in(self, rider.commented(statement), *how)

    def _copy_out(self: asyncpg.Connection, statement: str, *how: Any) -> Any:
        return copy_out(self, rider.commented(statement), *how)

    return {"_get_statement": _get_statement, "_copy_in": _copy_in, "_copy_out": _copy_out}
