"""One series of a pool and many engines, threads, tasks and processes that add to it."""

import asyncio
import gc
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine

import reqtrail.sqlalchemy
from devstack.postgres import Postgres
from tests.own_metrics import samples, total
from tests.waiting import wait_for

STATES = ("checked_out", "idle")


def engine_of(plain_postgres: Postgres, **options: Any) -> Engine:
    return create_engine(f"postgresql+psycopg://postgres@127.0.0.1:{plain_postgres.port}/postgres", **options)


def test_the_name_is_the_one_given_or_that_of_pool_engine_or_database(plain_postgres: Postgres) -> None:
    for options, name in (
        ({"pool_logging_name": "orders", "logging_name": "shop"}, "orders"),
        ({"logging_name": "shop"}, "shop"),
        ({}, "postgres"),
    ):
        engine = engine_of(plain_postgres, **options)
        reqtrail.sqlalchemy.install(engine)
        with engine.connect():
            assert total("reqtrail_db_pool_connections", pool=name, state="checked_out") == 1
        engine.dispose()


def test_without_pool_metrics_there_are_none(plain_postgres: Postgres) -> None:
    engine = engine_of(plain_postgres)
    plain_class = type(engine.pool)
    reqtrail.sqlalchemy.install(engine, pool_metrics=False, pool_name="uncounted")
    with engine.connect():
        assert samples("reqtrail_db_pool_connections", pool="uncounted") == []
    assert type(engine.pool) is plain_class
    engine.dispose()


def test_engines_of_one_name_add_up_and_take_their_part_along(plain_postgres: Postgres) -> None:
    def states() -> list[float]:
        return [total("reqtrail_db_pool_size", pool="added")] + [
            total("reqtrail_db_pool_connections", pool="added", state=state) for state in STATES
        ]

    engines = [engine_of(plain_postgres, pool_size=3) for _ in range(2)]
    for engine in engines:
        reqtrail.sqlalchemy.install(engine, pool_name="added")
    with engines[0].connect():
        engines[1].connect().close()
        assert states() == [6, 1, 1]
    engines.pop().dispose()
    del engine
    gc.collect()
    assert states() == [3, 0, 1]
    engines.pop().dispose()
    gc.collect()
    assert states() == [0, 0, 0]


def test_threads_that_wait_are_counted_and_so_is_who_forgets_a_connection(plain_postgres: Postgres) -> None:
    engine = engine_of(plain_postgres, pool_size=2, max_overflow=0)
    reqtrail.sqlalchemy.install(engine, pool_name="threads")

    def use() -> None:
        for _ in range(50):
            with engine.connect():
                pass

    held = [engine.connect(), engine.connect()]
    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_for(lambda: total("reqtrail_db_pool_waiting", pool="threads") == 4, 60)
    for connection in held:
        connection.execute(text("SELECT 1"))
    del connection
    held.clear()  # left to the garbage collector
    gc.collect()
    for thread in threads:
        thread.join(60)
    assert total("reqtrail_db_pool_waiting", pool="threads") == 0
    assert total("reqtrail_db_pool_connections", pool="threads", state="checked_out") == 0
    assert total("reqtrail_db_pool_connections", pool="threads", state="idle") == 2
    assert total("reqtrail_db_pool_wait_seconds_count", pool="threads") == 202
    engine.dispose()


async def test_a_task_that_is_cancelled_while_it_waits_waits_no_more(plain_postgres: Postgres) -> None:
    url = f"postgresql+asyncpg://postgres@127.0.0.1:{plain_postgres.port}/postgres"
    engine = create_async_engine(url, pool_size=1, max_overflow=0)
    reqtrail.sqlalchemy.install(engine, pool_name="cancelled")
    async with engine.connect():
        tasks = [asyncio.create_task(engine.connect().start()) for _ in range(3)]
        while total("reqtrail_db_pool_waiting", pool="cancelled") != 3:
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        assert all(
            isinstance(outcome, asyncio.CancelledError)
            for outcome in await asyncio.gather(*tasks, return_exceptions=True)
        )
        assert total("reqtrail_db_pool_waiting", pool="cancelled") == 0
    assert total("reqtrail_db_pool_connections", pool="cancelled", state="idle") == 1
    await engine.dispose()


@contextmanager
def child(work: Callable[[], object]) -> Iterator[None]:
    """A child made by fork that has done `work`, keeps what that returned, and is killed at the end."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            kept = work()
            os.write(writer, b"done")
            signal.pause()
            del kept
        finally:
            os._exit(1)
    os.close(writer)
    try:
        assert os.read(reader, 4) == b"done"
        yield
    finally:
        os.close(reader)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("disposes", [True, False])
def test_a_child_has_a_part_of_its_own_which_ends_with_it(plain_postgres: Postgres, disposes: bool) -> None:
    name = f"forked-{disposes}"
    engine = engine_of(plain_postgres, pool_size=2, max_overflow=1)
    reqtrail.sqlalchemy.install(engine, pool_name=name)

    def counts() -> list[float]:
        bounds = [total(f"reqtrail_db_pool_{bound}", pool=name) for bound in ("size", "limit")]
        return [total("reqtrail_db_pool_connections", pool=name, state=state) for state in STATES] + bounds

    def check_out() -> object:
        if disposes:
            engine.dispose(close=False)
        return engine.connect()

    held = engine.connect()
    engine.connect().close()
    assert counts() == [1, 1, 2, 3]
    with child(check_out):
        assert counts() == [2, 1, 4, 6]
    assert counts() == [1, 1, 2, 3]
    held.close()
    assert counts() == [0, 2, 2, 3]
    engine.dispose()
