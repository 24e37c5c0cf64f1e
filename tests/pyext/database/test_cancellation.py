"""A task that is cancelled at any step of its transaction leaves neither a transaction nor its id behind."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import asyncpg
import psycopg_pool
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

import reqtrail.asyncpg
import reqtrail.psycopg
import reqtrail.sqlalchemy
from devstack.postgres import Postgres
from reqtrail import set_request_id

SEEN = "SELECT current_setting('pg_stat_requests.request_id', true)"
ASLEEP = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
CONNECTIONS = 2
STEPS = 24

Value = Callable[[str], Awaitable[Any]]
Transactions = Callable[[], AbstractAsyncContextManager[Value]]
"""What begins a transaction on a connection from a pool, with what returns the value of a query in it."""


@asynccontextmanager
async def of_asyncpg(dsn: str) -> AsyncIterator[Transactions]:
    async with asyncpg.create_pool(dsn, min_size=CONNECTIONS, max_size=CONNECTIONS) as pool:
        reqtrail.asyncpg.install(pool)

        @asynccontextmanager
        async def transaction() -> AsyncIterator[Value]:
            async with pool.acquire() as connection, connection.transaction():
                yield connection.fetchval

        yield transaction


@asynccontextmanager
async def of_psycopg(dsn: str) -> AsyncIterator[Transactions]:
    pool = psycopg_pool.AsyncConnectionPool(dsn, min_size=CONNECTIONS, max_size=CONNECTIONS, open=False)
    reqtrail.psycopg.install(pool)
    async with pool:

        @asynccontextmanager
        async def transaction() -> AsyncIterator[Value]:
            async with pool.connection() as connection, connection.transaction():

                async def value(sql: str) -> Any:
                    row = await (await connection.execute(sql)).fetchone()
                    return row and row[0]

                yield value

        yield transaction


def of_sqlalchemy(driver: str) -> Callable[[str], AbstractAsyncContextManager[Transactions]]:
    @asynccontextmanager
    async def transactions(dsn: str) -> AsyncIterator[Transactions]:
        url = dsn.replace("postgresql", f"postgresql+{driver}", 1)
        engine = create_async_engine(url, pool_size=CONNECTIONS, max_overflow=0)
        reqtrail.sqlalchemy.install(engine)

        @asynccontextmanager
        async def transaction() -> AsyncIterator[Value]:
            async with AsyncSession(engine) as session, session.begin():
                yield lambda sql: session.scalar(text(sql))

        yield transaction
        await engine.dispose()

    return transactions


@pytest.mark.parametrize(
    "pool",
    [of_asyncpg, of_psycopg, of_sqlalchemy("asyncpg"), of_sqlalchemy("psycopg")],
    ids=["asyncpg", "psycopg", "SQLAlchemy with asyncpg", "SQLAlchemy with psycopg"],
)
async def test_nothing_is_left_at_whatever_step_it_was(
    pool: Callable[[str], AbstractAsyncContextManager[Transactions]], plain_postgres: Postgres
) -> None:
    async with pool(plain_postgres.dsn()) as transaction:

        async def cancelled() -> None:
            set_request_id("cancelled")
            async with transaction() as value:
                # Short: psycopg waits for its end where the cancellation came during BEGIN, with and without the hook.
                await value("SELECT pg_sleep(0.2)")

        async def seen() -> object:
            async with transaction() as value:
                return await value(SEEN)

        await asyncio.gather(*(seen() for _ in range(CONNECTIONS)))
        for steps in range(STEPS):
            task = asyncio.create_task(cancelled())
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert {*await asyncio.gather(*(seen() for _ in range(CONNECTIONS)))} <= {None, ""}, steps
            with plain_postgres.connect() as other:
                assert other.execute(ASLEEP).fetchone() == (0,), steps
