import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

import reqtrail.sqlalchemy
from devstack.postgres import Postgres
from reqtrail import set_request_id

SEEN = text("SELECT current_setting('pg_stat_requests.request_id', true)")


@pytest.fixture(params=["asyncpg", "psycopg"])
async def engine(request: pytest.FixtureRequest, plain_postgres: Postgres) -> AsyncIterator[AsyncEngine]:
    url = f"postgresql+{request.param}://postgres@127.0.0.1:{plain_postgres.port}/postgres"
    engine = create_async_engine(url, pool_size=3, max_overflow=0)
    reqtrail.sqlalchemy.install(engine)
    yield engine
    await engine.dispose()


async def test_tasks_that_share_a_pool_keep_their_own_ids(engine: AsyncEngine) -> None:
    async def one_request(request_id: str | None) -> str | None:
        if request_id is not None:
            set_request_id(request_id)
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_sleep(0.001)"))
            return (await connection.scalar(SEEN)) or None

    asked = [None if n % 4 == 0 else f"request-{n}" for n in range(200)]
    assert await asyncio.gather(*map(one_request, asked)) == asked


# By themselves asyncpg 0.27 goes on when it is cancelled in the middle of connecting, and psycopg 3.1.4 then drops its
# connection unclosed.
@pytest.mark.newer_drivers
async def test_a_task_that_is_cancelled_leaves_nothing_behind(engine: AsyncEngine) -> None:
    async def cancelled_soon(delay: float) -> None:
        set_request_id("cancelled")
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_sleep(10)"))

    for delay in (0.0, 0.0001, 0.0005, 0.001, 0.003, 0.02) * 3:
        task = asyncio.create_task(cancelled_soon(delay))
        await asyncio.sleep(delay)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def seen() -> str | None:
        async with engine.begin() as connection:
            return (await connection.scalar(SEEN)) or None

    assert await asyncio.gather(*(seen() for _ in range(6))) == [None] * 6
    set_request_id("afterwards")
    assert await asyncio.gather(*(seen() for _ in range(6))) == ["afterwards"] * 6
    async with engine.connect() as connection:
        asleep = text("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'")
        assert await connection.scalar(asleep) == 0


def test_threads_that_share_a_pool_keep_their_own_ids(plain_postgres: Postgres) -> None:
    url = f"postgresql+psycopg://postgres@127.0.0.1:{plain_postgres.port}/postgres"
    engine = create_engine(url, pool_size=2, max_overflow=0)
    reqtrail.sqlalchemy.install(engine)

    def one_request(n: int) -> bool:
        set_request_id(f"request-{n}")
        with engine.begin() as connection:
            return bool(connection.scalar(SEEN) == f"request-{n}")

    try:
        with ThreadPoolExecutor(4) as threads:
            assert all(threads.map(one_request, range(200)))
    finally:
        engine.dispose()


def test_greenlets_that_share_a_pool_keep_their_own_ids(plain_postgres: Postgres, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.pyext.database.gevent_program", plain_postgres.dsn()],
        env=os.environ | {"REQTRAIL_METRICS_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert (ended.stdout, ended.returncode) == ("ok\n", 0), ended.stderr
