import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

import reqtrail.asyncpg
from devstack.postgres import Postgres
from reqtrail import set_request_id
from reqtrail.begin import BeginRider

SEEN = "SELECT current_setting('pg_stat_requests.request_id', true)"


class Slotted(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """A connection class that an application brings along."""

    __slots__ = ("note",)


@pytest.fixture(params=[asyncpg.Connection, Slotted])
async def connection(request: pytest.FixtureRequest, plain_postgres: Postgres) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(plain_postgres.dsn(), connection_class=request.param)
    reqtrail.asyncpg.ride(connection, BeginRider())
    yield connection
    await connection.close()


async def test_begin_is_still_answered_by_begin(connection: asyncpg.Connection) -> None:
    set_request_id("abc")
    assert await connection.execute("BEGIN;") == "BEGIN"
    assert await connection.fetchval(SEEN) == "abc"
    assert await connection.execute("ROLLBACK;") == "ROLLBACK"


async def test_transactions_of_every_kind_carry_it(connection: asyncpg.Connection) -> None:
    set_request_id("abc")
    for isolation in ("read_committed", "repeatable_read", "serializable"):
        for readonly in (False, True):
            async with connection.transaction(isolation=isolation, readonly=readonly, deferrable=readonly):
                assert await connection.fetchval(SEEN) == "abc"
                assert await connection.fetchval("SHOW transaction_isolation") == isolation.replace("_", " ")
                assert await connection.fetchval("SHOW transaction_read_only") == ("on" if readonly else "off")
                async with connection.transaction():
                    assert await connection.fetchval(SEEN) == "abc"
    assert await connection.fetchval(SEEN) == ""


async def test_scripts_of_the_application_are_left_alone(connection: asyncpg.Connection) -> None:
    set_request_id("abc")
    assert await connection.execute("BEGIN; CREATE TEMP TABLE script (a int); COMMIT") == "COMMIT"
    assert await connection.execute("INSERT INTO script VALUES ($1)", 1) == "INSERT 0 1"
    await connection.execute("begin")
    assert not await connection.fetchval(SEEN)
    await connection.execute("rollback")
    async with connection.transaction():
        assert await connection.fetchval(SEEN) == "abc"


async def test_a_cursor_reads_the_rows_of_its_own_query(connection: asyncpg.Connection) -> None:
    set_request_id("abc")
    async with connection.transaction():
        assert [row[0] async for row in connection.cursor("SELECT generate_series(1, 3)")] == [1, 2, 3]


async def test_another_instrument_that_comes_later_still_sees_every_call(
    connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    plain = asyncpg.Connection.execute

    async def execute(self: asyncpg.Connection, query: str, *args: object, **how: object) -> str:
        seen.append(query)
        return str(await plain(self, query, *args, **how))

    monkeypatch.setattr(asyncpg.Connection, "execute", execute)
    set_request_id("abc")
    async with connection.transaction():
        pass
    assert seen == ["BEGIN; SET LOCAL pg_stat_requests.request_id = 'abc'", "COMMIT;"]


async def test_another_instrument_may_return_any_awaitable(
    connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = asyncpg.Connection.execute

    def execute(self: asyncpg.Connection, *args: object, **how: object) -> asyncio.Task[str]:
        return asyncio.ensure_future(plain(self, *args, **how))

    monkeypatch.setattr(asyncpg.Connection, "execute", execute)
    set_request_id("abc")
    async with connection.transaction():
        assert await connection.fetchval(SEEN) == "abc"


@pytest.mark.parametrize("front", ["SET LOCAL pg_stat_requests.request_id = '", "SET LOCAL no_such_setting = '"])
async def test_a_begin_within_a_transaction_rolls_nothing_back(connection: asyncpg.Connection, front: str) -> None:
    await connection.execute("CREATE TEMP TABLE rows (a int)")
    await connection.execute("BEGIN;")
    await connection.execute("INSERT INTO rows VALUES (1)")
    set_request_id("abc")
    connection._reqtrail_rider.set_local = front
    assert await connection.execute("BEGIN;") == "BEGIN"
    assert await connection.fetchval("SELECT count(*) FROM rows") == 1
    with pytest.raises(asyncpg.DivisionByZeroError):
        await connection.execute("SELECT 1/0")
    with pytest.raises(asyncpg.InFailedSQLTransactionError):
        await connection.execute("BEGIN;")
    assert await connection.execute("COMMIT") == "ROLLBACK"


async def test_a_begin_that_fails_by_itself_leaves_the_ids_on(
    plain_postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reqtrail.asyncpg._BEGINS", frozenset({"BEGIN WRONGLY;"}))
    connection = await asyncpg.connect(plain_postgres.dsn())
    rider = BeginRider()
    reqtrail.asyncpg.ride(connection, rider)
    set_request_id("abc")
    with pytest.raises(asyncpg.PostgresSyntaxError):
        await connection.execute("BEGIN WRONGLY;")
    assert rider.on
    await connection.close()
