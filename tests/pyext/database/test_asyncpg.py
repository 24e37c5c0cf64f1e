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
