"""The current request id on every transaction of a SQLAlchemy engine, without a round trip of its own."""

from collections.abc import Callable
from types import MethodType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.engine.base import OptionEngine
from sqlalchemy.engine.default import DefaultDialect

from reqtrail._enabled import enabled
from reqtrail._pool_series import PoolSeries
from reqtrail.begin import BeginRider
from reqtrail.sql_comment import Commenter, Tags, check_mode

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine  # needs greenlet, which a synchronous application may not have

__all__ = ["install", "uninstall"]


class _Installation:
    """What one engine has of us. Kept after `uninstall`, because connections in the pool know its rider."""

    def __init__(self, engine: Engine) -> None:
        self.rider, self._ride = _rider_and_ride(engine)
        self._commenter = Commenter()
        self._percent = engine.dialect.paramstyle in ("format", "pyformat")
        self._listeners: list[tuple[str, Callable[..., Any]]] = []
        self._pool_series: PoolSeries | None = None
        self._replaced: dict[str, tuple[Any, Any]] = {}  # by name, ours and what the dialect itself had before

    def install(self, engine: Engine, mode: str, commenter: Commenter) -> None:
        """Listen to the events of `engine`. A second call changes mode and comments."""
        self.remove(engine)
        # Comments are written here and not by the driver's hook: SQLAlchemy keeps prepared statements by their text.
        self.rider.configure(mode, Commenter())
        self._commenter = commenter
        self._listen(engine, "connect", self._on_connect)
        if commenter.active:
            self._listen(engine, "before_cursor_execute", self._on_execute, retval=True)
        if hasattr(self.rider, "begin_early"):
            self._replace(engine.dialect, "do_begin_twophase", _telling_of_two_phases(engine.dialect, self.rider))
        if engine.dialect.driver == "asyncpg":
            self._replace(engine.dialect, "do_ping", _hushed_ping(engine.dialect, self.rider))
        if engine.dialect.driver == "psycopg" and _connects_plainly(engine.dialect):
            self._replace(engine.dialect, "connect", _riding_connect(engine.dialect, self.rider))
        self.rider.on = True

    def remove(self, engine: Engine) -> None:
        """Listen no more, and let the connections that there are be as they were."""
        self.rider.on = False
        for name, listener in self._listeners:
            event.remove(engine, name, listener)
        self._listeners.clear()
        for name, (ours, before) in self._replaced.items():
            if vars(engine.dialect).get(name) is not ours:
                continue  # another instrument came after us
            if before is None:
                delattr(engine.dialect, name)
            else:
                setattr(engine.dialect, name, before)
        self._replaced.clear()

    def count_pool(self, engine: Engine, count: bool, name: str | None) -> None:
        """Have the pool's series under `name`, or not."""
        series = self._pool_series
        if series is not None and (not count or name not in (None, series.name)):
            series.remove(engine)
            series = None
        if series is None and count:
            series = PoolSeries(engine, name)
        self._pool_series = series

    def _replace(self, dialect: Any, name: str, method: Callable[..., Any]) -> None:
        self._replaced[name] = method, vars(dialect).get(name)
        setattr(dialect, name, method)

    def _listen(self, engine: Engine, name: str, listener: Callable[..., Any], **how: bool) -> None:
        event.listen(engine, name, listener, **how)
        self._listeners.append((name, listener))

    def _on_connect(self, _dbapi_connection: Any, record: Any) -> None:
        try:
            self._ride(record.driver_connection, self.rider)
            self.rider.unhush(record.driver_connection)
        except Exception as error:
            self.rider.stop(error)

    def _on_execute(
        self, _connection: Any, _cursor: Any, statement: str, parameters: Any, context: Any, _many: bool
    ) -> tuple[str, Any]:
        percent = self._percent and (bool(parameters) or context is None or not context.no_parameters)
        return self._commenter.commented(statement, percent=percent), parameters


_installations: "WeakKeyDictionary[Engine, _Installation]" = WeakKeyDictionary()


def install(
    engine: "Engine | AsyncEngine",
    *,
    mode: str = "guc",
    tags: Tags = (),
    pool_metrics: bool = True,
    pool_name: str | None = None,
) -> None:
    """Tell PostgreSQL the current request id in every transaction that `engine` starts, and count what its pool does.

    engine: an Engine or AsyncEngine of asyncpg, psycopg or psycopg2.
    mode: how it is told; see `reqtrail.sql_comment.MODES`. By default it rides on the BEGIN of the transaction (with
    psycopg2 on its first statement): no round trip more.
    tags: static comments on each statement, such as ("route", "task"); see `reqtrail.sql_comment.Tags`.
    pool_metrics: False leaves the `reqtrail_db_pool_*` series out.
    pool_name: their label `pool` (default: the engine's `pool_logging_name`, `logging_name` or the database's name).

    Applies to the connections that the engine opens from here on: call it before the first one is used. What happens
    outside of a request stays as it is, and so does AUTOCOMMIT, which has no BEGIN, but for comments. An engine that
    `execution_options()` made stands for the one that it was made from. A second call changes mode, tags and metrics;
    with REQTRAIL_ENABLED=false it does nothing. Raises TypeError when `engine` is neither an Engine nor an AsyncEngine,
    and ValueError for a driver that is not supported, and for a mode or a tag that there is not.
    """
    sync_engine = _sync_engine(engine)
    check_mode(mode)
    commenter = Commenter(mode, tags)
    installation = _installations.get(sync_engine) or _Installation(sync_engine)
    if enabled():
        _installations[sync_engine] = installation
        installation.install(sync_engine, mode, commenter)
        installation.count_pool(sync_engine, pool_metrics, pool_name)


def uninstall(engine: "Engine | AsyncEngine") -> None:
    """Undo `install`: from here on `engine`, with the connections in its pool, sends what it would send without,
    and its pool is not counted.

    Does nothing when it was not installed. Raises TypeError when `engine` is neither an Engine nor an AsyncEngine.
    """
    sync_engine = _sync_engine(engine)
    installation = _installations.get(sync_engine)
    if installation is not None:
        installation.remove(sync_engine)
        installation.count_pool(sync_engine, False, None)


def _sync_engine(engine: Any) -> Engine:
    engine = getattr(engine, "sync_engine", engine)  # what an AsyncEngine is made of
    while isinstance(engine, OptionEngine):
        engine = engine._proxied
    if isinstance(engine, Engine):
        return engine
    raise TypeError(f"engine is a SQLAlchemy Engine or AsyncEngine, not {type(engine).__name__}")


def _hushed_ping(dialect: Any, rider: BeginRider) -> Callable[..., Any]:
    """Return the `do_ping` to which nothing rides: with asyncpg a ping of the pool is a transaction of its own."""
    plain = dialect.do_ping

    def do_ping(dbapi_connection: Any) -> Any:
        connection = dbapi_connection.driver_connection
        rider.hush(connection)
        try:
            return plain(dbapi_connection)
        finally:
            rider.unhush(connection)

    return do_ping


def _connects_plainly(dialect: Any) -> bool:
    """Say whether SQLAlchemy makes the connections in its plain way, and with psycopg itself."""
    import psycopg

    is_plain = type(dialect).connect is DefaultDialect.connect and "connect" not in vars(dialect)
    return is_plain and not dialect.is_async and dialect.loaded_dbapi is psycopg


def _riding_connect(dialect: Any, rider: BeginRider) -> Callable[..., Any]:
    """Return the `connect` that makes psycopg's connections of the rider's class.

    CPython reads the attributes of an object whose class was changed in a slower way.
    """
    import psycopg

    from reqtrail.psycopg import riding_class

    plain = dialect.connect

    def connect(*args: Any, **how: Any) -> Any:
        # Another instrument may have put a function of its own in place of either, or a proxy, which says that it is
        # equal and of the same class.
        entry: Any = psycopg.connect
        own: Any = psycopg.Connection.connect
        is_own = type(entry) is type(own) is MethodType and entry.__func__ is own.__func__
        if not (rider.on and is_own):
            return plain(*args, **how)
        try:
            connection_class = riding_class(psycopg.Connection, rider)
        except Exception as error:
            rider.stop(error)
            return plain(*args, **how)
        # Not the transaction in which SQLAlchemy gets to know the server: `_on_connect` comes behind it.
        connection = connection_class.connect(*args, **how)
        rider.hush(connection)
        return connection

    return connect


def _telling_of_two_phases(dialect: Any, rider: Any) -> Callable[..., Any]:
    """Return the `do_begin_twophase` that tells psycopg2's rider: an event would make each statement slow."""
    plain = dialect.do_begin_twophase

    def do_begin_twophase(connection: Any, xid: Any) -> None:
        plain(connection, xid)
        rider.begin_early(connection.connection.driver_connection)

    return do_begin_twophase


def _rider_and_ride(engine: Engine) -> tuple[Any, Callable[[Any, Any], None]]:
    # Each is imported only here: the engine's own driver may be all that is installed.
    dialect = engine.dialect
    if dialect.name == "postgresql" and dialect.driver == "asyncpg":
        from reqtrail.asyncpg import ride as ride_asyncpg

        return BeginRider(), ride_asyncpg
    if dialect.name == "postgresql" and dialect.driver == "psycopg":
        from reqtrail.psycopg import ride as ride_psycopg

        return BeginRider(), ride_psycopg
    if dialect.name == "postgresql" and dialect.driver == "psycopg2":
        from reqtrail.psycopg2 import FirstStatementRider
        from reqtrail.psycopg2 import ride as ride_psycopg2

        return FirstStatementRider(), ride_psycopg2
    raise ValueError(
        f"the request id cannot ride on the transactions of {dialect.name}+{dialect.driver}: "
        "use a postgresql+asyncpg, postgresql+psycopg or postgresql+psycopg2 engine"
    )
