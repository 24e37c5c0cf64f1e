"""What the native methods in place of the drivers' own are to Python, beside sending the id."""

import asyncio
import gc
import inspect
import sys
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import asyncpg
import psycopg
import psycopg2
import pytest

import reqtrail.asyncpg
import reqtrail.psycopg
import reqtrail.psycopg2
from devstack.postgres import Postgres
from reqtrail._native import asyncpg_execute
from reqtrail.begin import BeginRider
from tests.pyext.database.wire_tap import WireTap

SEEN = "SELECT current_setting('pg_stat_requests.request_id', true)"


pytestmark = pytest.mark.usefixtures("works_for_abc")


@pytest.fixture
async def connection(plain_postgres: Postgres) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(plain_postgres.dsn())
    reqtrail.asyncpg.install(connection)
    yield connection
    await connection.close()


async def test_a_begin_of_asyncpg_is_as_good_as_a_coroutine(connection: Any) -> None:
    for begin in (asyncio.create_task, lambda coroutine: asyncio.wait_for(coroutine, 60), asyncio.ensure_future):
        assert await begin(connection.execute("BEGIN;")) == "BEGIN"
        assert await connection.fetchval(SEEN) == "abc"
        assert await connection.execute("ROLLBACK;") == "ROLLBACK"
    begun = connection.execute("BEGIN;")
    assert await begun == "BEGIN"
    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        await begun
    begun.close()
    assert await connection.execute("ROLLBACK;") == "ROLLBACK"


async def test_a_begin_of_asyncpg_that_is_never_awaited_sends_nothing(connection: Any) -> None:
    begun = connection.execute("BEGIN;")
    begun.close()
    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        await begun
    with pytest.raises(RuntimeWarning, match="never awaited"):
        await connection.execute("BEGIN;").throw(RuntimeWarning("never awaited"))
    assert not connection.is_in_transaction()


async def test_arguments_of_asyncpg_reach_it_as_they_are(connection: Any) -> None:
    assert await connection.execute(query="BEGIN;", timeout=60) == "BEGIN"
    assert await connection.fetchval(SEEN) == "abc"
    assert await connection.execute("SELECT $1::int", 7) == "SELECT 1"
    assert await connection.execute("SELECT $1::int", 7, timeout=60) == "SELECT 1"
    assert await connection.execute("ROLLBACK;", timeout=60) == "ROLLBACK"
    with pytest.raises(TypeError, match="unexpected keyword argument 'limit'"):
        connection.execute("BEGIN;", limit=1)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'query'"):
        connection.execute()
    assert not connection.is_in_transaction()


async def test_an_instrument_that_comes_and_goes_between_transactions_sees_those_in_between(
    connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    own: Any = asyncpg.Connection.execute
    watched = []

    async def watch(self: Any, query: str, *args: Any, **named: Any) -> str:
        watched.append(query)
        return str(await own(self, query, *args, **named))

    async def transaction() -> None:
        async with connection.transaction():
            assert await connection.fetchval(SEEN) == "abc"

    await transaction()
    with monkeypatch.context() as patch:
        patch.setattr(asyncpg.Connection, "execute", watch)
        await transaction()
    await transaction()
    assert [query.partition(";")[0] for query in watched] == ["BEGIN", "COMMIT"]


async def test_a_class_and_a_metaclass_that_answer_anew_each_time_are_asked_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Meta(type):
        pass

    class Driver(metaclass=Meta):
        async def execute(self, query: str) -> str:
            return f"as ever: {query}"

    class Counting:
        def __init__(self) -> None:
            self.count = 0

        def __get__(self, _instance: object, _owner: object) -> Any:
            self.count += 1
            count = self.count

            async def execute(_self: Driver, query: str) -> str:
                return f"for the {count}. time: {query}"

            return execute

    class CountingFirst(Counting):
        def __set__(self, _instance: object, _value: object) -> None:
            raise AttributeError

    execute: Any = asyncpg_execute(Driver, BeginRider("guc"), frozenset({"BEGIN;"}), None, OSError, print)

    async def twice() -> list[str]:
        return [(await execute(Driver(), "SELECT 1")).removesuffix(": SELECT 1") for _ in range(2)]

    assert await twice() == ["as ever", "as ever"]
    for owner, answer in ((Driver, Counting()), (Meta, CountingFirst())):
        with monkeypatch.context() as patch:
            patch.setattr(owner, "execute", answer, raising=False)
            assert await twice() == ["for the 1. time", "for the 2. time"]
        assert await twice() == ["as ever", "as ever"]
    answer = Counting()
    monkeypatch.setattr(Meta, "__getattribute__", lambda _cls, _name: answer.__get__(None, Driver))
    assert await twice() == ["for the 1. time", "for the 2. time"]


async def test_an_asyncpg_that_hides_its_protocol_is_asked_in_public() -> None:
    class Hiding:
        sent: ClassVar[list[str]] = []

        def __init__(self, *, in_transaction: bool) -> None:
            self.is_in_transaction = lambda: in_transaction

        async def execute(self, query: str) -> str:
            self.sent.append(query)
            return "SET"

    execute: Any = asyncpg_execute(Hiding, BeginRider("guc"), frozenset({"BEGIN;"}), None, OSError, print)
    assert await execute(Hiding(in_transaction=False), "BEGIN;") == "BEGIN"
    assert await execute(Hiding(in_transaction=True), "BEGIN;") == "SET"
    assert Hiding.sent == ["BEGIN; SET LOCAL pg_stat_requests.request_id = 'abc'", "BEGIN;"]


async def test_the_method_tells_of_itself_what_the_drivers_own_tells(connection: Any) -> None:
    own: Any = asyncpg.Connection.execute
    assert inspect.signature(connection.execute) == inspect.signature(own.__get__(connection))
    assert (connection.execute.__name__, connection.execute.__doc__) == (own.__name__, own.__doc__)
    assert connection.execute.__self__ is connection
    if sys.version_info >= (3, 12):
        assert inspect.iscoroutinefunction(connection.execute)


async def test_comments_reach_a_query_that_is_given_by_its_name(plain_postgres: Postgres) -> None:
    with WireTap(plain_postgres.port) as tap:
        connection = await asyncpg.connect(f"postgresql://postgres@127.0.0.1:{tap.port}/postgres")
        reqtrail.asyncpg.install(connection, mode="comment")
        await connection.execute(query="SELECT 42")
        assert b"/* request_id: abc */ SELECT 42" in tap.conversation.texts
        await connection.close()


async def test_transactions_keep_no_references_to_a_connection_of_asyncpg(connection: Any) -> None:
    async def once() -> None:
        async with connection.transaction():
            pass

    await once()
    gc.collect()
    before = sys.getrefcount(connection), sys.getrefcount(type(connection))
    for _ in range(100):
        await once()
    gc.collect()
    assert (sys.getrefcount(connection), sys.getrefcount(type(connection))) == before


@pytest.mark.parametrize(
    ("driver", "install"), [(psycopg, reqtrail.psycopg.install), (psycopg2, reqtrail.psycopg2.install)]
)
def test_transactions_keep_no_references_to_a_connection(driver: Any, install: Any, plain_postgres: Postgres) -> None:
    connection = driver.connect(plain_postgres.dsn())
    install(connection)

    def once() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        connection.commit()

    once()
    gc.collect()
    before = sys.getrefcount(connection), sys.getrefcount(type(connection))
    for _ in range(100):
        once()
    gc.collect()
    assert (sys.getrefcount(connection), sys.getrefcount(type(connection))) == before
    connection.close()


def test_what_is_no_rider_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="expected a Rider, not str"):
        asyncpg_execute(asyncpg.Connection, "rider", frozenset(), None, Exception, print)  # type: ignore[arg-type]  # on purpose
