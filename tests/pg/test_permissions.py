"""Who sees what: rows of others need pg_read_all_stats, as in pg_stat_activity."""

import threading
from collections.abc import Iterator

import psycopg
import pytest

from devstack.postgres import Postgres
from tests.pg.requests_view import Connection, counts, read, tagged, wait_for


@pytest.fixture
def alice(server: Postgres, admin: Connection) -> Iterator[Connection]:
    with server.connect(user="alice") as connection:
        yield connection


@pytest.fixture
def bob(server: Postgres, admin: Connection) -> Iterator[Connection]:
    with server.connect(user="bob") as connection:
        yield connection


def users(connection: Connection, query: str) -> set[str]:
    return {found["user"] for found in read(connection, query)}


def test_others_rows_are_hidden(alice: Connection, bob: Connection) -> None:
    for connection in (alice, bob):
        with tagged(connection, "x"):
            connection.execute("SELECT 1")
    assert users(alice, "SELECT * FROM pg_stat_requests") == {"alice"}
    assert users(alice, "SELECT * FROM pg_stat_requests('x')") == {"alice"}
    assert users(alice, "SELECT * FROM pg_stat_requests_all()") == {"alice"}


def test_others_requests_in_flight_are_hidden(admin: Connection, alice: Connection, bob: Connection) -> None:
    with tagged(alice, "x"), tagged(bob, "y"):
        assert users(alice, "SELECT * FROM pg_stat_requests_activity") == {"alice"}
        assert users(admin, "SELECT * FROM pg_stat_requests_activity") == {"alice", "bob"}


def test_read_all_stats_shows_all(admin: Connection, alice: Connection, bob: Connection) -> None:
    with tagged(bob, "x"):
        bob.execute("SELECT 1")
    admin.execute("GRANT pg_read_all_stats TO alice")
    assert users(alice, "SELECT * FROM pg_stat_requests") == {"bob"}
    assert users(alice, "SELECT * FROM pg_stat_requests('x')") == {"bob"}
    admin.execute("REVOKE pg_read_all_stats FROM alice")
    assert users(alice, "SELECT * FROM pg_stat_requests") == set()


def test_members_see_the_rows_of_their_group(admin: Connection, alice: Connection, bob: Connection) -> None:
    with tagged(bob, "x"):
        bob.execute("SELECT 1")
    admin.execute("GRANT bob TO alice")
    assert users(alice, "SELECT * FROM pg_stat_requests") == {"bob"}
    admin.execute("REVOKE bob FROM alice")


def test_reset_is_not_for_everybody(admin: Connection, alice: Connection) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        alice.execute("SELECT pg_stat_requests_reset()")
    admin.execute("GRANT EXECUTE ON FUNCTION pg_stat_requests_reset() TO alice")
    alice.execute("SELECT pg_stat_requests_reset()")
    admin.execute("REVOKE EXECUTE ON FUNCTION pg_stat_requests_reset() FROM alice")


def test_anybody_may_tag_and_read_the_info(alice: Connection, admin: Connection) -> None:
    with tagged(alice, "x"):
        alice.execute("SELECT * FROM pg_stat_requests_info")
    assert counts(admin, "x") == (1, 0, 1, 0)


def test_activity_shows_a_request_while_it_is_worked_for(admin: Connection, server: Postgres) -> None:
    def work() -> None:
        with server.connect(user="alice") as connection, tagged(connection, "x"):
            connection.execute("SELECT 1")
            connection.execute("SELECT pg_sleep(0.3)")

    worker = threading.Thread(target=work)
    worker.start()
    query = "SELECT * FROM pg_stat_requests_activity JOIN pg_stat_activity a USING (pid) WHERE statements = 2"
    wait_for(lambda: admin.execute(query).fetchone() is not None)
    (found,) = read(admin, "SELECT * FROM pg_stat_requests_activity")
    assert (found["request_id"], found["user"], found["database"]) == ("x", "alice", "postgres")
    assert found["statements"] == 2
    assert 0 < found["total_time"] < 300
    assert found["xact_start"] < found["since"]
    worker.join()
    assert read(admin, "SELECT * FROM pg_stat_requests_activity") == []


def test_everything_says_what_it_means(admin: Connection) -> None:
    undocumented = read(
        admin,
        """
        SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum >= 0
        WHERE c.relname LIKE 'pg\\_stat\\_requests%' AND c.relkind = 'v' AND col_description(c.oid, a.attnum) IS NULL
        UNION ALL
        SELECT p.proname, '' FROM pg_proc p
        WHERE p.proname LIKE 'pg\\_stat\\_requests%' AND obj_description(p.oid, 'pg_proc') IS NULL
        """,
    )
    assert undocumented == []
