"""The current request id on every transaction of a SQLAlchemy engine, without a round trip of its own."""

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from reqtrail._enabled import enabled
from reqtrail.begin import BeginRider

__all__ = ["install", "uninstall"]

_Ride = Callable[[Any, BeginRider], None]


class _Installation:
    """What one engine has of us. Kept after `uninstall`, because connections in the pool know its rider."""

    def __init__(self, ride: _Ride) -> None:
        self.rider = BeginRider()
        self.listening = False
        self._ride = ride

    def on_connect(self, _dbapi_connection: Any, record: Any) -> None:
        try:
            self._ride(record.driver_connection, self.rider)
        except Exception as error:
            self.rider.stop(error)


_installations: "WeakKeyDictionary[Engine, _Installation]" = WeakKeyDictionary()


def install(engine: Engine | AsyncEngine) -> None:
    """Let the current request id ride on the BEGIN of every transaction that `engine` starts.

    Applies to the connections that the engine opens from here on: call it before the first one is used. A transaction
    outside of a request, and AUTOCOMMIT, which has no BEGIN, stay as they are. Calling it again changes nothing; with
    REQTRAIL_ENABLED=false it does nothing. Raises TypeError when `engine` is neither an Engine nor an AsyncEngine, and
    ValueError when its driver is none of postgresql+asyncpg and postgresql+psycopg.
    """
    sync_engine = _sync_engine(engine)
    ride = _ride_of(sync_engine)
    if not enabled():
        return
    installation = _installations.setdefault(sync_engine, _Installation(ride))
    if not installation.listening:
        event.listen(sync_engine, "connect", installation.on_connect)
        installation.listening = True
        installation.rider.on = True


def uninstall(engine: Engine | AsyncEngine) -> None:
    """Undo `install`: from here on `engine`, with the connections in its pool, sends a plain BEGIN.

    Does nothing when it was not installed. Raises TypeError when `engine` is neither an Engine nor an AsyncEngine.
    """
    sync_engine = _sync_engine(engine)
    installation = _installations.get(sync_engine)
    if installation is not None and installation.listening:
        event.remove(sync_engine, "connect", installation.on_connect)
        installation.listening = False
        installation.rider.on = False


def _sync_engine(engine: Any) -> Engine:
    if isinstance(engine, AsyncEngine):
        return engine.sync_engine
    if isinstance(engine, Engine):
        return engine
    raise TypeError(f"engine is a SQLAlchemy Engine or AsyncEngine, not {type(engine).__name__}")


def _ride_of(engine: Engine) -> _Ride:
    dialect = engine.dialect
    if dialect.name == "postgresql" and dialect.driver == "asyncpg":
        from reqtrail.asyncpg import ride as ride_asyncpg  # an engine of the other driver may be all that is installed

        return ride_asyncpg
    if dialect.name == "postgresql" and dialect.driver == "psycopg":
        from reqtrail.psycopg import ride as ride_psycopg

        return ride_psycopg
    raise ValueError(
        f"the request id cannot ride on the transactions of {dialect.name}+{dialect.driver}: "
        "use a postgresql+asyncpg or postgresql+psycopg engine"
    )
