"""The hooks on connections and pools of the drivers themselves, without SQLAlchemy."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import asyncpg
import psycopg
import psycopg2
import psycopg2.extras
import psycopg2.pool
import psycopg_pool
import pytest

import reqtrail.asyncpg
import reqtrail.psycopg
import reqtrail.psycopg2
from devstack.postgres import Postgres
from reqtrail import set_request_id
from reqtrail._native import request_id_var
from tests.pyext.database.wire_tap import WireTap

SEEN = "SELECT current_setting('pg_stat_requests.request_id', true)"
MODULES = (reqtrail.asyncpg, reqtrail.psycopg, reqtrail.psycopg2)


pytestmark = pytest.mark.usefixtures("works_for_abc")


@pytest.fixture
async def asyncpg_pool(plain_postgres: Postgres) -> AsyncIterator[Any]:
    initialised = []

    async def initialise(connection: Any) -> None:
        initialised.append(connection)

    async with asyncpg.create_pool(plain_postgres.dsn(), min_size=1, max_size=3, init=initialise) as pool:
        yield pool
        assert len(initialised) == len({*initialised}) == pool.get_size()


async def test_a_pool_of_asyncpg_reaches_old_and_new_connections(asyncpg_pool: Any) -> None:
    reqtrail.asyncpg.install(asyncpg_pool)

    async def one_request(request_id: str) -> None:
        set_request_id(request_id)
        async with asyncpg_pool.acquire() as connection, connection.transaction():
            assert await connection.fetchval(SEEN) == request_id
            async with connection.transaction():
                assert await connection.fetchval(SEEN) == request_id
        async with asyncpg_pool.acquire() as connection:
            assert not await connection.fetchval(SEEN)

    await asyncio.gather(*(one_request(f"request-{n}") for n in range(50)))
    assert asyncpg_pool.get_size() == 3
    reqtrail.asyncpg.uninstall(asyncpg_pool)
    async with asyncpg_pool.acquire() as connection, connection.transaction():
        assert not await connection.fetchval(SEEN)


async def test_a_connection_that_a_pool_lent_is_a_connection(asyncpg_pool: Any) -> None:
    async with asyncpg_pool.acquire() as connection:
        reqtrail.asyncpg.install(connection)
        async with connection.transaction():
            assert await connection.fetchval(SEEN) == "abc"


async def test_an_async_pool_of_psycopg(plain_postgres: Postgres) -> None:
    pool = psycopg_pool.AsyncConnectionPool(plain_postgres.dsn(), min_size=1, max_size=3, open=False)
    reqtrail.psycopg.install(pool)
    async with pool:

        async def one_request(request_id: str) -> None:
            set_request_id(request_id)
            async with pool.connection() as connection:
                found = await (await connection.execute(SEEN)).fetchone()
                assert found == (request_id,)

        await asyncio.gather(*(one_request(f"request-{n}") for n in range(50)))


def test_a_pool_of_psycopg_that_is_open_already(plain_postgres: Postgres) -> None:
    with psycopg_pool.ConnectionPool(plain_postgres.dsn(), min_size=2, open=True) as pool:
        pool.wait(60)
        reqtrail.psycopg.install(pool)
        for _ in range(4):
            with pool.connection() as connection:
                assert connection.execute(SEEN).fetchone() == ("abc",)
        reqtrail.psycopg.uninstall(pool)
        with pool.connection() as connection:
            assert connection.execute(SEEN).fetchone() in [("",), (None,)]


def test_a_pool_of_psycopg_whose_connections_are_in_use(plain_postgres: Postgres) -> None:
    with psycopg_pool.ConnectionPool(plain_postgres.dsn(), min_size=1, max_size=1, open=True) as pool:
        with pool.connection() as connection:
            reqtrail.psycopg.install(pool)
            assert connection.execute(SEEN).fetchone() == ("abc",)
            connection.commit()
            reqtrail.psycopg.uninstall(pool)
            assert connection.execute(SEEN).fetchone() in [("",), (None,)]
        with psycopg.connect(plain_postgres.dsn()) as of_no_pool:
            reqtrail.psycopg.install(pool)
            assert of_no_pool.execute(SEEN).fetchone() in [("",), (None,)]


async def test_an_async_pool_of_psycopg_whose_connections_are_in_use(plain_postgres: Postgres) -> None:
    async with (
        psycopg_pool.AsyncConnectionPool(plain_postgres.dsn(), min_size=1, open=False) as pool,
        pool.connection() as connection,
    ):
        reqtrail.psycopg.install(pool)
        assert await (await connection.execute(SEEN)).fetchone() == ("abc",)


async def test_an_async_connection_of_psycopg_with_pipeline_and_cursor(plain_postgres: Postgres) -> None:
    async with await psycopg.AsyncConnection.connect(plain_postgres.dsn()) as connection:
        reqtrail.psycopg.install(connection)
        async with connection.pipeline():
            first, second = await connection.execute("SELECT 1"), await connection.execute(SEEN)
            assert (await first.fetchone(), await second.fetchone()) == ((1,), ("abc",))
        await connection.rollback()
        async with connection.cursor(name="rows") as cursor:
            await cursor.execute("SELECT generate_series(1, 3)")
            assert [row async for row in cursor] == [(1,), (2,), (3,)]
        await connection.rollback()
        async with connection.transaction():
            assert await (await connection.execute(SEEN)).fetchone() == ("abc",)


def fetch(connection: Any, sql: str, **how: Any) -> list[Any]:
    with connection.cursor(**how) as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


@pytest.mark.parametrize("pool_class", [psycopg2.pool.SimpleConnectionPool, psycopg2.pool.ThreadedConnectionPool])
def test_a_pool_of_psycopg2_reaches_old_and_new_connections(pool_class: Any, plain_postgres: Postgres) -> None:
    pool = pool_class(1, 3, plain_postgres.dsn())
    reqtrail.psycopg2.install(pool)
    connections = [pool.getconn() for _ in range(3)]
    assert [fetch(connection, SEEN) for connection in connections] == [[("abc",)]] * 3
    for connection in connections:
        pool.putconn(connection)
    reqtrail.psycopg2.uninstall(pool)
    assert fetch(pool.getconn(), SEEN)[0][0] in ("", None)
    pool.closeall()


def test_a_class_of_connections_of_psycopg2_keeps_its_cursors(plain_postgres: Postgres) -> None:
    for base in (
        psycopg2.extras.DictConnection,
        psycopg2.extras.RealDictConnection,
        psycopg2.extras.NamedTupleConnection,
    ):
        connection = psycopg2.connect(plain_postgres.dsn(), connection_factory=base)
        expected = fetch(connection, "SELECT 1 AS one")
        connection.commit()
        reqtrail.psycopg2.install(connection)
        [row] = fetch(connection, f"{SEEN} AS seen, 1 AS one")
        assert type(row).__name__ == type(expected[0]).__name__
        assert isinstance(connection, base)
        assert "abc" in (row.values() if isinstance(row, dict) else [*row])
        connection.close()
        class_ = reqtrail.psycopg2.connection_class(base)
        connection = psycopg2.connect(plain_postgres.dsn(), connection_factory=class_)
        assert fetch(connection, "SELECT 1 AS one") == expected
        connection.rollback()
        [row] = fetch(connection, f"{SEEN} AS seen", cursor_factory=psycopg2.extras.RealDictCursor)
        assert row == {"seen": "abc"}
        connection.close()


def test_what_psycopg2_tells_of_the_last_query_is_the_applications_own(plain_postgres: Postgres) -> None:
    connection = psycopg2.connect(plain_postgres.dsn())
    reqtrail.psycopg2.install(connection)
    with connection.cursor() as cursor:
        assert cursor.query is None
        cursor.execute("SELECT %s", ["a"])
        assert cursor.query == b"SELECT 'a'"
        with pytest.raises(psycopg2.errors.DivisionByZero) as caught:
            cursor.execute("SELECT 1/0")
        assert caught.value.cursor is cursor
        connection.rollback()
        with pytest.raises(psycopg2.errors.UndefinedColumn, match="LINE 1: SELECT 1; SELECT b"):
            cursor.execute("SELECT 1; SELECT b")
    connection.close()


@pytest.mark.parametrize("how", [{}, {"mode": "both", "tags": {"t": "x"}}], ids=["guc", "with comments"])
@pytest.mark.parametrize(
    "script",
    [
        "INSERT INTO once VALUES (1); SET LOCAL work_mem = '1MB'",
        "/* first */ INSERT INTO once VALUES (1); SET LOCAL work_mem = '1MB' /* last */",
        "/* /* */ SELECT */ INSERT INTO once VALUES (1); SET LOCAL work_mem = '1MB' -- */",
        "-- /*\nINSERT INTO once VALUES (1); SET LOCAL work_mem = '1MB' -- */",
        "-- one line\rINSERT INTO once VALUES (1); SET LOCAL work_mem = '1MB'",
    ],
)
def test_psycopg2_executes_a_script_that_ends_with_a_set_once(
    script: str, how: dict[str, Any], plain_postgres: Postgres
) -> None:
    connection = psycopg2.connect(plain_postgres.dsn())
    fetch(connection, "CREATE TEMP TABLE once (a int); SELECT 1")
    connection.commit()
    reqtrail.psycopg2.install(connection, **how)
    with connection.cursor() as cursor:
        cursor.execute(script)
        assert cursor.statusmessage == "SET"
    assert fetch(connection, "SELECT a FROM once") == [(1,)]
    connection.close()


@pytest.mark.parametrize(
    "text", ["-- SET", "/* SET */ ;", "/* a /* b */ -- c */\n", "/**/;/* * / */ --", "/* a */\0SELECT 1"]
)
def test_a_text_without_a_statement_is_the_error_that_it_is_without_psycopg2s_hook(
    text: str, plain_postgres: Postgres
) -> None:
    connection = psycopg2.connect(plain_postgres.dsn())
    reqtrail.psycopg2.install(connection)
    with connection.cursor() as cursor, pytest.raises(psycopg2.ProgrammingError, match="can't execute an empty query"):
        cursor.execute(text)
    connection.close()


@pytest.mark.parametrize(
    "begin",
    [
        lambda cursor: cursor.callproc("length", ["four"]),
        lambda cursor: cursor.executemany("SELECT %s", [[1], [2]]),
        lambda cursor: cursor.copy_expert("COPY (SELECT 1) TO STDOUT", open("/dev/null", "w")),  # noqa: SIM115, PTH123
        lambda cursor: cursor.connection.cursor(name="rows").execute("SELECT 1"),
    ],
    ids=["callproc", "executemany", "copy", "named cursor"],
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_what_psycopg2_writes_itself_carries_the_id_too(begin: Callable[[Any], None], plain_postgres: Postgres) -> None:
    connection = psycopg2.connect(plain_postgres.dsn())
    reqtrail.psycopg2.install(connection)
    with connection.cursor() as cursor:
        begin(cursor)
        cursor.execute(SEEN)
        assert cursor.fetchone() == ("abc",)
    connection.close()


async def test_classes_of_connections_of_psycopg(plain_postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    with reqtrail.psycopg.connection_class().connect(plain_postgres.dsn()) as connection:
        assert connection.execute(SEEN).fetchone() == ("abc",)
        reqtrail.psycopg.uninstall(connection)
        connection.rollback()
        assert connection.execute(SEEN).fetchone() == ("",)
    class_ = reqtrail.psycopg.connection_class(psycopg.AsyncConnection, mode="application_name")
    async with await class_.connect(plain_postgres.dsn()) as async_connection:
        assert await (await async_connection.execute("SHOW application_name")).fetchone() == ("abc",)
    with pytest.raises(ValueError, match="mode must be one of"):
        reqtrail.psycopg.connection_class(mode="GUC")
    monkeypatch.setenv("REQTRAIL_ENABLED", "false")
    assert reqtrail.psycopg.connection_class() is psycopg.Connection


def test_two_phase_transactions_of_a_class_of_psycopg2_carry_it(plain_postgres: Postgres) -> None:
    class_ = reqtrail.psycopg2.connection_class()
    connection = psycopg2.connect(plain_postgres.dsn(), connection_factory=class_)
    for _ in range(2):
        connection.tpc_begin(connection.xid(0, "two-phase", ""))
        assert fetch(connection, SEEN) == [("abc",)]
        assert fetch(connection, SEEN) == [("abc",)]
        connection.tpc_rollback()
    connection.close()


async def test_statements_with_an_id_do_not_push_others_out_of_the_cache_of_asyncpg(plain_postgres: Postgres) -> None:
    with WireTap(plain_postgres.port) as tap:
        connection = await asyncpg.connect(
            f"postgresql://postgres@127.0.0.1:{tap.port}/postgres", statement_cache_size=2
        )
        reqtrail.asyncpg.install(connection, mode="comment")

        async def without_an_id() -> int:
            tap.conversation.clear()
            token = request_id_var.set(None)  # type: ignore[arg-type]  # as outside of a request
            assert await connection.fetchval("SELECT 42") == 42
            request_id_var.reset(token)
            return len([kind for kind, _ in tap.conversation.sent if kind == "P"])

        assert await without_an_id() == 1
        for n in range(5):
            assert await connection.fetchval(f"SELECT {n}") == n
        assert await without_an_id() == 0
        reqtrail.asyncpg.uninstall(connection)
        for parses in (1, 0):
            tap.conversation.clear()
            assert await connection.fetchval("SELECT 43") == 43
            assert len([kind for kind, _ in tap.conversation.sent if kind == "P"]) == parses
        await connection.close()


async def test_prepared_statements_of_the_application_never_have_an_id(plain_postgres: Postgres) -> None:
    with WireTap(plain_postgres.port) as tap:
        connection = await asyncpg.connect(f"postgresql://postgres@127.0.0.1:{tap.port}/postgres")
        reqtrail.asyncpg.install(connection, mode="comment")
        statement = await connection.prepare("SELECT 42")
        assert await statement.fetchval() == 42
        assert b"abc" not in tap.conversation.texts
        assert await connection.fetchval("SELECT 43") == 43
        assert b"/* request_id: abc */ SELECT 43" in tap.conversation.texts
        await connection.close()


@pytest.mark.parametrize("module", MODULES)
def test_what_is_neither_connection_nor_pool_is_a_type_error(module: Any) -> None:
    for function in (module.install, module.uninstall):
        with pytest.raises(TypeError, match=r"target is an? .* not str"):
            function("postgresql://")


def test_a_mode_that_is_none_is_an_error_that_names_those_that_are(plain_postgres: Postgres) -> None:
    with psycopg.connect(plain_postgres.dsn()) as connection:
        for _ in range(2):
            with pytest.raises(
                ValueError, match="must be one of 'guc', 'comment', 'both', 'application_name', not 'GUC'"
            ):
                reqtrail.psycopg.install(connection, mode="GUC")
            reqtrail.psycopg.install(connection)
    with pytest.raises(ValueError, match="must be one of"):
        reqtrail.psycopg2.connection_class(mode="")


def test_a_second_install_changes_the_mode(plain_postgres: Postgres) -> None:
    with psycopg.connect(plain_postgres.dsn()) as connection:
        reqtrail.psycopg.install(connection)
        assert connection.execute(SEEN).fetchone() == ("abc",)
        connection.rollback()
        reqtrail.psycopg.install(connection, mode="application_name")
        assert connection.execute(SEEN).fetchone() == ("",)
        assert connection.execute("SHOW application_name").fetchone() == ("abc",)
        connection.rollback()
        reqtrail.psycopg.uninstall(connection)
        assert connection.execute("SHOW application_name").fetchone() == ("",)


MODES_IN_TURN = (("guc", (True, False)), ("comment", (False, True)), ("both", (True, True)), ("guc", (True, False)))


def told(tap: WireTap) -> tuple[bool, bool]:
    """Whether the id went over the wire in a SET LOCAL, and whether in comments of BEGIN or a SELECT."""
    texts = tap.conversation.texts
    tap.conversation.clear()
    return b"SET LOCAL" in texts, b"/* request_id: abc */" in texts


async def test_asyncpg_changes_its_mode_on_an_open_connection(tap: WireTap) -> None:
    connection = await asyncpg.connect(f"postgresql://postgres@127.0.0.1:{tap.port}/postgres")
    plain = type(connection)
    for mode, expected in MODES_IN_TURN:
        reqtrail.asyncpg.install(connection, mode=mode)
        tap.conversation.clear()
        async with connection.transaction():
            await connection.fetchval(f"SELECT '{mode}'")
        assert (b"/* request_id: abc */ SELECT" in tap.conversation.texts) == expected[1]
        assert told(tap) == expected
        assert (type(connection)._get_statement is plain._get_statement) == (not expected[1])
    await connection.close()


def test_psycopg_changes_its_mode_on_an_open_connection(tap: WireTap) -> None:
    with psycopg.connect(f"postgresql://postgres@127.0.0.1:{tap.port}/postgres") as connection:
        for mode, expected in MODES_IN_TURN:
            reqtrail.psycopg.install(connection, mode=mode)
            tap.conversation.clear()
            connection.execute("SELECT 1")
            assert (b"/* request_id: abc */ SELECT" in tap.conversation.texts) == expected[1]
            connection.commit()
            assert told(tap) == expected
            assert (type(connection.cursor()) is psycopg.Cursor) == (not expected[1])


def test_psycopg2_changes_its_mode_on_an_open_connection(tap: WireTap) -> None:
    connection = psycopg2.connect(f"postgresql://postgres@127.0.0.1:{tap.port}/postgres")
    for mode, expected in MODES_IN_TURN:
        reqtrail.psycopg2.install(connection, mode=mode)
        tap.conversation.clear()
        assert fetch(connection, "SELECT 1") == [(1,)]
        connection.commit()
        assert told(tap) == expected
    connection.close()


async def seen_by_asyncpg(connection: Any) -> object:
    async with connection.transaction():
        return await connection.fetchval(SEEN)


async def seen_by_a_pool_of_asyncpg(pool: Any) -> object:
    async with pool.acquire() as connection:
        return await seen_by_asyncpg(connection)


async def seen_by_psycopg(connection: Any) -> object:
    with connection.transaction():
        return connection.execute(SEEN).fetchone()[0]


async def seen_by_psycopg2(connection: Any) -> object:
    with connection:
        return fetch(connection, SEEN)[0][0]


async def seen_by_a_pool_of_psycopg2(pool: Any) -> object:
    return await seen_by_psycopg2(pool.getconn())


Look = Callable[[Any], Awaitable[object]]
"""What returns the id that the server has for a transaction of what is looked at."""


@asynccontextmanager
async def connection_of_asyncpg(dsn: str) -> AsyncIterator[tuple[Any, Any, Look]]:
    connection = await asyncpg.connect(dsn)
    yield reqtrail.asyncpg, connection, seen_by_asyncpg
    await connection.close()


@asynccontextmanager
async def pool_of_asyncpg(dsn: str) -> AsyncIterator[tuple[Any, Any, Look]]:
    async with asyncpg.create_pool(dsn, min_size=1, max_size=1) as pool:
        yield reqtrail.asyncpg, pool, seen_by_a_pool_of_asyncpg


@asynccontextmanager
async def connection_of_psycopg(dsn: str) -> AsyncIterator[tuple[Any, Any, Look]]:
    with psycopg.connect(dsn) as connection:
        yield reqtrail.psycopg, connection, seen_by_psycopg


@asynccontextmanager
async def connection_of_psycopg2(dsn: str) -> AsyncIterator[tuple[Any, Any, Look]]:
    connection = psycopg2.connect(dsn)
    yield reqtrail.psycopg2, connection, seen_by_psycopg2
    connection.close()


@asynccontextmanager
async def pool_of_psycopg2(dsn: str) -> AsyncIterator[tuple[Any, Any, Look]]:
    pool = psycopg2.pool.SimpleConnectionPool(1, 2, dsn)
    yield reqtrail.psycopg2, pool, seen_by_a_pool_of_psycopg2
    pool.closeall()


@pytest.mark.parametrize(
    "target_of",
    [connection_of_asyncpg, pool_of_asyncpg, connection_of_psycopg, connection_of_psycopg2, pool_of_psycopg2],
)
async def test_switched_off_by_the_environment_install_changes_nothing(
    target_of: Callable[[str], AbstractAsyncContextManager[tuple[Any, Any, Look]]],
    tap: WireTap,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with target_of(f"postgresql://postgres@127.0.0.1:{tap.port}/postgres") as (module, target, seen_by):
        before = type(target), getattr(target, "cursor_factory", None)
        monkeypatch.setenv("REQTRAIL_ENABLED", "false")
        module.install(target, mode="both")
        with pytest.raises(ValueError, match="must be one of"):
            module.install(target, mode="GUC")
        assert (type(target), getattr(target, "cursor_factory", None)) == before
        assert not await seen_by(target)
        assert b"abc" not in tap.conversation.texts
        monkeypatch.delenv("REQTRAIL_ENABLED")
        module.install(target)
        assert await seen_by(target) == "abc"


def test_switched_off_by_the_environment_the_class_of_connections_is_the_drivers_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REQTRAIL_ENABLED", "false")
    connection_class = reqtrail.psycopg2.connection_class()
    assert connection_class is psycopg2.extensions.connection
