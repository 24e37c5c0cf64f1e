"""One client connection of each driver behind one interface, set up for a PgBouncer in transaction mode."""

import asyncio
from typing import Any
from uuid import uuid4

import asyncpg
import psycopg
import psycopg2
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine

import reqtrail.asyncpg
import reqtrail.psycopg
import reqtrail.psycopg2
import reqtrail.sqlalchemy


class Client:
    """One connection with the hook. What blocks runs in a thread, in a copy of the caller's context."""

    def __init__(self, port: int, mode: str) -> None:
        self.address = f"postgres@127.0.0.1:{port}/postgres"
        self.mode = mode

    async def open(self) -> None:
        raise NotImplementedError

    async def begin(self) -> None:
        """Begin a transaction where the driver does not do it by itself."""

    async def value(self, sql: str) -> Any:
        """The first value of the first row, or None if there are no rows."""
        raise NotImplementedError

    async def commit(self) -> None:
        raise NotImplementedError

    async def rollback(self) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError


class Asyncpg(Client):
    connection: Any

    async def open(self) -> None:
        self.connection = await asyncpg.connect(f"postgresql://{self.address}", statement_cache_size=0)
        reqtrail.asyncpg.install(self.connection, mode=self.mode)

    async def begin(self) -> None:
        self.transaction = self.connection.transaction()
        await self.transaction.start()

    async def value(self, sql: str) -> Any:
        return await self.connection.fetchval(sql)

    async def commit(self) -> None:
        await self.transaction.commit()

    async def rollback(self) -> None:
        await self.transaction.rollback()

    async def close(self) -> None:
        await self.connection.close()


class PsycopgAsync(Client):
    async def open(self) -> None:
        self.connection = await psycopg.AsyncConnection.connect(f"postgresql://{self.address}", prepare_threshold=None)
        reqtrail.psycopg.install(self.connection, mode=self.mode)

    async def value(self, sql: str) -> Any:
        cursor = await self.connection.execute(sql)
        row = await cursor.fetchone() if cursor.description else None
        return row and row[0]

    async def commit(self) -> None:
        await self.connection.commit()

    async def rollback(self) -> None:
        await self.connection.rollback()

    async def close(self) -> None:
        await self.connection.close()


class Blocking(Client):
    """Every call in a thread: each may wait for a connection that another client has."""

    connection: Any

    def _open(self) -> None:
        raise NotImplementedError

    def _value(self, sql: str) -> Any:
        with self.connection.cursor() as cursor:
            cursor.execute(sql)
            row = cursor.fetchone() if cursor.description else None
            return row and row[0]

    def _close(self) -> None:
        self.connection.close()

    async def open(self) -> None:
        await asyncio.to_thread(self._open)

    async def value(self, sql: str) -> Any:
        return await asyncio.to_thread(self._value, sql)

    async def commit(self) -> None:
        await asyncio.to_thread(self.connection.commit)

    async def rollback(self) -> None:
        await asyncio.to_thread(self.connection.rollback)

    async def close(self) -> None:
        await asyncio.to_thread(self._close)


class Psycopg(Blocking):
    def _open(self) -> None:
        self.connection = psycopg.connect(f"postgresql://{self.address}", prepare_threshold=None)
        reqtrail.psycopg.install(self.connection, mode=self.mode)


class Psycopg2(Blocking):
    def _open(self) -> None:
        self.connection = psycopg2.connect(f"postgresql://{self.address}")
        reqtrail.psycopg2.install(self.connection, mode=self.mode)


class SqlalchemyAsync(Client):
    driver = "psycopg"
    options: dict[str, Any] = {"prepare_threshold": None}  # noqa: RUF012 - read only

    async def open(self) -> None:
        self.engine = create_async_engine(f"postgresql+{self.driver}://{self.address}", connect_args=self.options)
        reqtrail.sqlalchemy.install(self.engine, mode=self.mode)
        self.connection = await self.engine.connect()

    async def value(self, sql: str) -> Any:
        result = await self.connection.execute(text(sql))
        return result.scalar() if result.returns_rows else None

    async def commit(self) -> None:
        await self.connection.commit()

    async def rollback(self) -> None:
        await self.connection.rollback()

    async def close(self) -> None:
        await self.connection.close()
        await self.engine.dispose()


class SqlalchemyAsyncpg(SqlalchemyAsync):
    driver = "asyncpg"
    # What SQLAlchemy's documentation advises for PgBouncer: it names prepared statements, each connection from 1 on.
    options = {  # noqa: RUF012 - read only
        "statement_cache_size": 0,
        "prepared_statement_cache_size": 0,
        "prepared_statement_name_func": lambda: f"__asyncpg_{uuid4()}__",
    }


class Sqlalchemy(Blocking):
    driver = "psycopg"
    options: dict[str, Any] = {"prepare_threshold": None}  # noqa: RUF012 - read only

    def _open(self) -> None:
        self.engine = create_engine(f"postgresql+{self.driver}://{self.address}", connect_args=self.options)
        reqtrail.sqlalchemy.install(self.engine, mode=self.mode)
        self.connection = self.engine.connect()

    def _value(self, sql: str) -> Any:
        result = self.connection.execute(text(sql))
        return result.scalar() if result.returns_rows else None

    def _close(self) -> None:
        self.connection.close()
        self.engine.dispose()


class SqlalchemyPsycopg2(Sqlalchemy):
    driver = "psycopg2"
    options = {}  # noqa: RUF012 - read only


CLIENTS: tuple[type[Client], ...] = (
    Asyncpg,
    Psycopg,
    PsycopgAsync,
    Psycopg2,
    SqlalchemyAsyncpg,
    Sqlalchemy,
    SqlalchemyAsync,
    SqlalchemyPsycopg2,
)
