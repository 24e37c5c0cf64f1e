"""One engine of each kind behind one interface, so that a test of behaviour is written once."""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from reqtrail import reset_request_id, set_request_id

T = TypeVar("T")

KINDS = ("asyncpg", "psycopg", "psycopg_async", "psycopg2")


class Database:
    """An engine with one connection in its pool unless told otherwise; None leaves an option out.

    An async one lives in a loop of its own.
    """

    def __init__(self, kind: str, port: int, **options: Any) -> None:
        url = f"postgresql+{kind}://postgres@127.0.0.1:{port}/postgres"
        options = {"pool_size": 1, "max_overflow": 0, "pool_timeout": 5, **options}
        options = {name: value for name, value in options.items() if value is not None}
        self.kind = kind
        self.engine: Engine | AsyncEngine
        if kind in ("psycopg", "psycopg2"):
            self.engine = create_engine(url, **options)
        else:
            self.engine = create_async_engine(url, **options)
        self.loop = asyncio.new_event_loop()

    def run(self, work: Callable[[Connection], T], request_id: str | None = None, **options: Any) -> T:
        """Return what `work` returns on a connection from the pool, working for `request_id`."""
        return contextvars.copy_context().run(self._run, work, request_id, options)

    def await_(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what `work` returns."""
        return self.loop.run_until_complete(work)

    def begin(self, work: Callable[[Connection], T], request_id: str | None = None) -> T:
        """Do `work` in a transaction that is committed."""

        def in_transaction(connection: Connection) -> T:
            with connection.begin():
                return work(connection)

        return self.run(in_transaction, request_id)

    def in_session(self, work: Callable[[Session], T], request_id: str | None = None) -> T:
        """Do `work` with a session of SQLAlchemy's ORM, which begins its transactions by itself."""
        return contextvars.copy_context().run(self._run_in_session, work, request_id)

    def close_connections(self) -> None:
        """Empty the pool."""
        if isinstance(self.engine, Engine):
            self.engine.dispose()
        else:
            self.await_(self.engine.dispose())

    def close(self) -> None:
        """Close the connections and the loop."""
        self.close_connections()
        self.loop.close()

    def _run_in_session(self, work: Callable[[Session], T], request_id: str | None) -> T:
        if request_id is not None:
            set_request_id(request_id)  # in a context of its own
        if isinstance(self.engine, AsyncEngine):
            return self.await_(_in_async_session(self.engine, work))
        with Session(self.engine) as session:
            return work(session)

    def _run(self, work: Callable[[Connection], T], request_id: str | None, options: dict[str, Any]) -> T:
        token = None if request_id is None else set_request_id(request_id)
        try:
            if isinstance(self.engine, AsyncEngine):
                return self.await_(_in_async(self.engine, work, options))
            with self.engine.connect() as connection:
                return work(connection.execution_options(**options))
        finally:
            if token is not None:
                reset_request_id(token)


async def _in_async(engine: AsyncEngine, work: Callable[[Connection], T], options: dict[str, Any]) -> T:
    async with engine.connect() as connection:
        return await (await connection.execution_options(**options)).run_sync(work)


async def _in_async_session(engine: AsyncEngine, work: Callable[[Session], T]) -> T:
    async with AsyncSession(engine) as session:
        return await session.run_sync(work)


def seen_id(connection: Connection | Session) -> str | None:
    """The request id that the server has for the running transaction, or None."""
    found = connection.scalar(text("SELECT current_setting('pg_stat_requests.request_id', true)"))
    return str(found) if found else None
