"""Which statements have the id and the tags in comments, with each driver: what docs/database.md says of it."""

import io
from typing import Any

import asyncpg
import psycopg
import psycopg2
import psycopg2.sql
import pytest
from sqlalchemy import Connection, text

import reqtrail.asyncpg
import reqtrail.psycopg
import reqtrail.psycopg2
import reqtrail.sqlalchemy
from tests.pyext.database.database import Database
from tests.pyext.database.wire_tap import WireTap

TABLE = "CREATE TEMP TABLE commented (a int)"
INSERT = "INSERT INTO commented VALUES"
HOW: dict[str, Any] = {"mode": "comment", "tags": {"t": "x"}}


pytestmark = pytest.mark.usefixtures("works_for_abc")


def sent(tap: WireTap) -> list[str]:
    """The first word of each statement that went over the wire; with a star when it has both comments."""
    return [described(statement) for statement in tap.conversation.statements]


def described(statement: str) -> str:
    bare = statement.removeprefix("/* request_id: abc */ ")
    # psycopg2 writes DECLARE in front of what it is given, and SQLAlchemy in front of what it has commented.
    has_id = bare != statement or ("DECLARE" in statement and " FOR /* request_id: abc */ SELECT" in statement)
    has_tag = statement.rstrip("; ").endswith(" /*t='x'*/")
    assert has_id == has_tag, statement
    return "* " * has_id + bare.split()[0].rstrip(";")


def dsn(tap: WireTap) -> str:
    return f"postgresql://postgres@127.0.0.1:{tap.port}/postgres"


async def test_asyncpg_comments_all_but_what_it_prepares_to_last_and_the_copy_of_records(tap: WireTap) -> None:
    connection = await asyncpg.connect(dsn(tap))
    await connection.execute(TABLE)
    reqtrail.asyncpg.install(connection, **HOW)
    tap.conversation.clear()
    async with connection.transaction():
        await connection.execute("SELECT 1")
        await connection.fetch("SELECT 2")
        await connection.executemany(f"{INSERT} ($1)", [(1,), (2,)])
        async with connection.transaction():
            assert [row["a"] async for row in connection.cursor("SELECT a FROM commented")] == [1, 2]
    assert sent(tap) == [
        *("* BEGIN", "* SELECT", "* SELECT", "* INSERT"),
        *("* SAVEPOINT", "* SELECT", "* RELEASE", "* COMMIT"),
    ]

    tap.conversation.clear()
    await connection.copy_from_query("SELECT 1", output=io.BytesIO())
    await connection.copy_from_table("commented", output=io.BytesIO())
    await connection.copy_to_table("commented", source=io.BytesIO(b"3\n"))
    assert sent(tap) == ["* COPY"] * 3

    tap.conversation.clear()
    statement = await connection.prepare("SELECT 42")
    assert await statement.fetchval() == 42
    await connection.copy_records_to_table("commented", records=[(4,)])
    assert sent(tap) == ["SELECT", "* SELECT", "COPY"]  # it asks for the types of the columns first
    await connection.close()


def test_psycopg_comments_begin_and_all_that_a_cursor_executes(tap: WireTap) -> None:
    with psycopg.connect(dsn(tap), autocommit=True) as connection:
        connection.execute(TABLE)
        reqtrail.psycopg.install(connection, **HOW)
        tap.conversation.clear()
        with connection.transaction(), connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.executemany(f"{INSERT} (%s)", [(1,)])
            with connection.transaction():
                assert list(cursor.stream("SELECT %s::int", [2])) == [(2,)]
            with cursor.copy("COPY commented FROM STDIN") as copy:
                copy.write_row([3])
            with connection.cursor("rows") as rows:
                assert rows.execute("SELECT a FROM commented").fetchall() == [(1,), (3,)]
        assert [word for word in sent(tap) if word != "DEALLOCATE"] == [
            *("* BEGIN", "* SELECT", "* INSERT", "SAVEPOINT", "* SELECT", "RELEASE"),
            *("* COPY", "* DECLARE", "FETCH", "CLOSE", "COMMIT"),
        ]


async def test_psycopg_comments_the_same_on_an_async_connection(tap: WireTap) -> None:
    async with await psycopg.AsyncConnection.connect(dsn(tap)) as connection:
        reqtrail.psycopg.install(connection, **HOW)
        tap.conversation.clear()
        await connection.execute("SELECT 1")
        async with connection.cursor() as cursor, cursor.copy("COPY (SELECT 1) TO STDOUT") as copy:
            assert [bytes(block) async for block in copy] == [b"1\n"]
        await connection.commit()
        assert sent(tap) == ["* BEGIN", "* SELECT", "* COPY", "COMMIT"]


def test_psycopg2_comments_only_the_statements_that_it_is_given(tap: WireTap) -> None:
    connection = psycopg2.connect(dsn(tap))
    reqtrail.psycopg2.install(connection, **HOW)
    with connection.cursor() as cursor:
        cursor.execute(TABLE)
        tap.conversation.clear()
        connection.commit()
        cursor.execute("SAVEPOINT a")
        cursor.executemany(f"{INSERT} (%s)", [(1,), (2,)])
        cursor.copy_expert("COPY commented TO STDOUT", io.StringIO())
        cursor.copy_expert(sql=psycopg2.sql.SQL("COPY commented FROM STDIN"), file=io.StringIO("3\n"))
        cursor.copy_expert(b"COPY commented TO STDOUT", copied := io.StringIO())
        assert copied.getvalue() == "1\n2\n3\n"
        cursor.copy_from(io.StringIO("4\n"), "commented")
        cursor.copy_to(io.StringIO(), "commented")
        cursor.callproc("length", ["four"])
    with connection.cursor(name="rows") as rows:
        rows.execute("SELECT a FROM commented")
        assert len(rows.fetchall()) == 4
    connection.rollback()
    connection.close()
    assert sent(tap) == [
        *("COMMIT", "BEGIN", "* SAVEPOINT", "* INSERT", "* INSERT", "* COPY", "* COPY", "* COPY"),
        *("COPY", "COPY", "SELECT", "* DECLARE", "FETCH", "CLOSE", "ROLLBACK"),
    ]


def test_sqlalchemy_comments_what_it_executes_and_not_what_the_driver_does(database: Database, tap: WireTap) -> None:
    def work(connection: Connection) -> None:
        connection.execute(text("SELECT 1"))
        with connection.begin_nested():
            connection.execute(text("SELECT 2"))
        rows = connection.execution_options(stream_results=True).execute(text("SELECT 3"))
        assert rows.all() == [(3,)]

    reqtrail.sqlalchemy.install(database.engine, **HOW)
    database.begin(lambda _: None)
    tap.conversation.clear()
    database.begin(work)
    streamed = ["* SELECT"] if database.kind == "asyncpg" else ["* DECLARE", "FETCH", "FETCH", "CLOSE"]
    assert [word for word in sent(tap) if word != "DEALLOCATE"] == [
        "BEGIN",
        "* SELECT",
        "* SAVEPOINT",
        "* SELECT",
        "* RELEASE",
        *streamed,
        "COMMIT",
    ]
