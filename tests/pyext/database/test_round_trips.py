"""What the id costs on the wire: no round trip, but for what docs/database.md names."""

import io
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import psycopg
import psycopg2
import pytest
from sqlalchemy import Connection, text

import reqtrail.asyncpg
import reqtrail.psycopg
import reqtrail.psycopg2
import reqtrail.sqlalchemy
from reqtrail import set_request_id
from reqtrail.sql_comment import MODES
from tests.pyext.database.database import Database
from tests.pyext.database.wire_tap import WireTap

STATEMENTS_OF_A_TRANSACTION = 6  # BEGIN, SELECT, SAVEPOINT, SELECT, RELEASE, COMMIT


@dataclass
class Client:
    """A connection, and what takes a transaction with a savepoint in it."""

    module: Any
    connection: Any
    transaction: Callable[[], Coroutine[Any, Any, None]]


def dsn(port: int) -> str:
    return f"postgresql://postgres@127.0.0.1:{port}/postgres"


@asynccontextmanager
async def of_asyncpg(port: int) -> AsyncIterator[Client]:
    connection = await asyncpg.connect(dsn(port))

    async def transaction() -> None:
        async with connection.transaction():
            await connection.execute("SELECT 1")
            async with connection.transaction():
                await connection.execute("SELECT 2")

    yield Client(reqtrail.asyncpg, connection, transaction)
    await connection.close()


@asynccontextmanager
async def of_psycopg(port: int) -> AsyncIterator[Client]:
    with psycopg.connect(dsn(port)) as connection:

        async def transaction() -> None:
            with connection.transaction():
                connection.execute("SELECT 1")
                with connection.transaction():
                    connection.execute("SELECT 2")

        yield Client(reqtrail.psycopg, connection, transaction)


@asynccontextmanager
async def of_psycopg_async(port: int) -> AsyncIterator[Client]:
    async with await psycopg.AsyncConnection.connect(dsn(port)) as connection:

        async def transaction() -> None:
            async with connection.transaction():
                await connection.execute("SELECT 1")
                async with connection.transaction():
                    await connection.execute("SELECT 2")

        yield Client(reqtrail.psycopg, connection, transaction)


@asynccontextmanager
async def of_psycopg2(port: int) -> AsyncIterator[Client]:
    connection = psycopg2.connect(dsn(port))

    async def transaction() -> None:
        with connection, connection.cursor() as cursor:
            for statement in ("SELECT 1", "SAVEPOINT a", "SELECT 2", "RELEASE a"):
                cursor.execute(statement)

    yield Client(reqtrail.psycopg2, connection, transaction)
    connection.close()


Driver = Callable[[int], AbstractAsyncContextManager[Client]]
DRIVERS = (of_asyncpg, of_psycopg, of_psycopg_async, of_psycopg2)


async def trips(tap: WireTap, work: Coroutine[Any, Any, object]) -> int:
    tap.conversation.clear()
    await work
    return tap.conversation.round_trips


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("driver", DRIVERS)
async def test_a_transaction_of_a_driver_takes_as_many_with_the_id_as_without(
    driver: Driver, mode: str, tap: WireTap
) -> None:
    async with driver(tap.port) as client:
        await client.transaction()
        assert await trips(tap, client.transaction()) == STATEMENTS_OF_A_TRANSACTION
        client.module.install(client.connection, mode=mode)
        set_request_id("abc")
        assert await trips(tap, client.transaction()) == STATEMENTS_OF_A_TRANSACTION
        assert b"abc" in tap.conversation.texts


@pytest.mark.parametrize("mode", MODES)
def test_a_transaction_of_sqlalchemy_takes_as_many_but_for_prepared_statements_with_an_id_in_them(
    database: Database, mode: str, tap: WireTap
) -> None:
    def transaction(connection: Connection) -> None:
        connection.execute(text("SELECT 1"))
        with connection.begin_nested():
            connection.execute(text("SELECT 2"))

    def trips(request_id: str | None) -> int:
        tap.conversation.clear()
        database.begin(transaction, request_id)
        return tap.conversation.round_trips

    trips(None)
    assert trips(None) == STATEMENTS_OF_A_TRANSACTION
    reqtrail.sqlalchemy.install(database.engine, mode=mode)
    database.close_connections()
    trips(None)
    prepared_anew = 4 if database.kind == "asyncpg" and mode in ("comment", "both") else 0
    for request_id in ("abc", "def"):
        assert trips(request_id) == STATEMENTS_OF_A_TRANSACTION + prepared_anew
        assert request_id.encode() in tap.conversation.texts


@pytest.mark.parametrize(("mode", "parsed"), [("guc", 0), ("application_name", 0), ("comment", 1), ("both", 1)])
async def test_asyncpg_takes_one_more_for_a_statement_of_its_cache_with_an_id_in_it(
    mode: str, parsed: int, tap: WireTap
) -> None:
    async with of_asyncpg(tap.port) as client:

        async def transaction() -> None:
            async with client.connection.transaction():
                assert await client.connection.fetchval("SELECT 1") == 1

        await transaction()
        plain = await trips(tap, transaction())
        reqtrail.asyncpg.install(client.connection, mode=mode)
        set_request_id("abc")
        assert await trips(tap, transaction()) == plain + parsed


def named_cursor(cursor: Any) -> None:
    with cursor.connection.cursor(name="rows") as rows:
        rows.execute("SELECT 1")
        assert rows.fetchall() == [(1,)]


def two_phases(cursor: Any) -> None:
    connection = cursor.connection
    connection.tpc_begin(connection.xid(0, "round-trips", ""))
    cursor.execute("SELECT 1")
    connection.tpc_prepare()
    connection.tpc_rollback()


WRITTEN_BY_PSYCOPG2: dict[str, Callable[[Any], object]] = {
    "callproc": lambda cursor: cursor.callproc("length", ["four"]),
    "copy_expert": lambda cursor: cursor.copy_expert("COPY (SELECT 1) TO STDOUT", io.StringIO()),
    "copy_from": lambda cursor: cursor.copy_from(io.StringIO("1\n"), "trips"),
    "copy_to": lambda cursor: cursor.copy_to(io.StringIO(), "trips"),
    "executemany": lambda cursor: cursor.executemany("INSERT INTO trips VALUES (%s)", [[1], [2]]),
    "named cursor": named_cursor,
}
BEGUN_BY_PSYCOPG2 = {**WRITTEN_BY_PSYCOPG2, "two phases": two_phases}


def trips_of_psycopg2(begin: Callable[[Any], object], tap: WireTap, **how: Any) -> int:
    connection = psycopg2.connect(dsn(tap.port), **how)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE trips (a int)")
        connection.commit()
        tap.conversation.clear()
        begin(cursor)
        if begin is not two_phases:
            cursor.execute("SELECT 2")  # to which nothing is added any more
            connection.rollback()
        trips = tap.conversation.round_trips
    connection.close()
    return trips


@pytest.mark.usefixtures("works_for_abc")
@pytest.mark.parametrize(("mode", "more"), [("guc", 1), ("application_name", 1), ("both", 1), ("comment", 0)])
@pytest.mark.parametrize("begin", BEGUN_BY_PSYCOPG2.values(), ids=BEGUN_BY_PSYCOPG2)
def test_psycopg2_takes_one_more_for_a_transaction_that_begins_with_what_it_writes_itself(
    begin: Callable[[Any], object], mode: str, more: int, tap: WireTap
) -> None:
    plain = trips_of_psycopg2(begin, tap)
    class_ = reqtrail.psycopg2.connection_class(mode=mode)
    assert trips_of_psycopg2(begin, tap, connection_factory=class_) == plain + more
    assert tap.conversation.texts.count(b"SET LOCAL") == more


@pytest.mark.usefixtures("works_for_abc")
@pytest.mark.parametrize("begin", WRITTEN_BY_PSYCOPG2.values(), ids=WRITTEN_BY_PSYCOPG2)
def test_psycopg2_takes_no_more_for_the_same_later_in_a_transaction(
    begin: Callable[[Any], object], tap: WireTap
) -> None:
    def later(cursor: Any) -> None:
        cursor.execute("SELECT 1")
        begin(cursor)

    plain = trips_of_psycopg2(later, tap)
    assert trips_of_psycopg2(later, tap, connection_factory=reqtrail.psycopg2.connection_class()) == plain


@pytest.mark.usefixtures("works_for_abc")
def test_psycopg2_sends_a_first_statement_that_the_server_refuses_again_by_itself(tap: WireTap) -> None:
    def refused(cursor: Any) -> None:
        with pytest.raises(psycopg2.errors.UndefinedColumn):
            cursor.execute("SELECT no_such_column")
        cursor.connection.rollback()

    plain = trips_of_psycopg2(refused, tap)
    class_ = reqtrail.psycopg2.connection_class()
    rollback_begin_and_the_statement = 3
    assert trips_of_psycopg2(refused, tap, connection_factory=class_) == plain + rollback_begin_and_the_statement
