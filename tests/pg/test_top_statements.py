"""The statements of a request: what they are known by, which are held, and what track says of nested ones."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from devstack.postgres import Postgres
from tests.pg.requests_view import Connection, Row, counts, read, row, tagged


def statements(connection: Connection, request_id: str) -> list[Row]:
    """The statements of one request, the most called first; checked to be what the view shows."""
    order = "ORDER BY calls DESC, rows DESC, queryid"
    found = read(connection, f"SELECT * FROM pg_stat_requests_statements(%s) {order}", request_id)
    shown = read(connection, f"SELECT * FROM pg_stat_requests_statements WHERE request_id = %s {order}", request_id)
    assert found == shown
    return found


def calls_and_rows(connection: Connection, request_id: str) -> list[tuple[int, int]]:
    return [(found["calls"], found["rows"]) for found in statements(connection, request_id)]


def test_an_n_plus_one_shows(admin: Connection, session: Connection) -> None:
    with tagged(session, "x"):
        for (number,) in session.execute("SELECT id FROM item WHERE id <= 40").fetchall():
            session.execute("SELECT name FROM item WHERE id = %s", (number,))
    repeated, once = statements(admin, "x")
    assert (repeated["calls"], repeated["rows"]) == (40, 40)
    assert (once["calls"], once["rows"]) == (1, 40)
    assert 0 < repeated["max_time"] <= repeated["total_time"]
    assert repeated["queryid"] != once["queryid"]
    assert (repeated["database"], repeated["user"]) == ("postgres", "postgres")


def test_transactions_of_a_request_add_up(admin: Connection, session: Connection) -> None:
    for _ in range(3):
        with tagged(session, "x"):
            session.execute("SELECT name FROM item WHERE id <= %s", (5,))
    assert calls_and_rows(admin, "x") == [(3, 15)]


def test_the_row_of_the_request_names_the_longest_statement(admin: Connection, session: Connection) -> None:
    with tagged(session, "x"):
        for _ in range(5):
            session.execute("SELECT 1")
        session.execute("SELECT pg_sleep(0.05)")
    cost = row(admin, "x")
    (longest,) = [found for found in statements(admin, "x") if found["calls"] == 1]
    assert (cost["top_queryid"], cost["top_time"]) == (longest["queryid"], longest["total_time"])
    assert cost["top_time"] >= 50
    assert cost["total_time"] == pytest.approx(sum(found["total_time"] for found in statements(admin, "x")))
    with tagged(session, "nothing"):
        pass
    assert (row(admin, "nothing")["top_queryid"], row(admin, "nothing")["top_time"]) == (None, None)


def test_eight_are_held_and_the_calls_of_the_others_counted(admin: Connection, session: Connection) -> None:
    with tagged(session, "x"):
        for number in range(50):
            session.execute("SELECT count(*) FROM item WHERE id > %s", (1,))
            session.execute(f"SELECT {number} AS number")
    held = statements(admin, "x")
    assert len(held) == 8
    assert held[0]["calls"] == 50
    assert sum(found["calls"] for found in held) + row(admin, "x")["statements_dropped"] == 100


def test_comments_at_the_ends_make_no_other_statement(admin: Connection, session: Connection) -> None:
    with tagged(session, "x"):
        for number in range(3):
            session.execute(f"SELECT name FROM item /* span: {number} */")
            session.execute(f"/* span: {number} */SELECT name FROM item")
    assert [found["calls"] for found in statements(admin, "x")] == [6]


def test_statements_of_a_message_are_told_apart(admin: Connection, session: Connection) -> None:
    with psycopg.ClientCursor(session) as simple:
        simple.execute("/* request_id: x */ SELECT 1 FROM item; SELECT 2; SELECT 2;SELECT 2")
    assert calls_and_rows(admin, "x") == [(3, 3), (1, 1000)]


def test_failed_statements_that_ran_are_there(admin: Connection, session: Connection) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero), tagged(session, "x"):
        session.execute("SELECT 1 / (id - 500) FROM item")
    assert calls_and_rows(admin, "x") == [(1, 0)]
    with pytest.raises(psycopg.errors.UndefinedColumn), tagged(session, "y"):
        session.execute("SELECT nothing")
    assert statements(admin, "y") == []


@pytest.fixture
def nested(admin: Connection, session: Connection) -> Connection:
    """A session with a function of two queries, one of them run five times, a trigger and a procedure."""
    session.execute(
        "CREATE OR REPLACE FUNCTION calls_others() RETURNS bigint LANGUAGE plpgsql AS"
        " $$ BEGIN FOR i IN 1..5 LOOP PERFORM pg_sleep(0.002) FROM item WHERE id = i; END LOOP;"
        " EXECUTE 'ANALYZE item'; RETURN (SELECT count(*) FROM item WHERE id <= 7); END $$"
    )
    session.execute("CREATE TABLE IF NOT EXISTS fired (id int)")
    session.execute(
        "CREATE OR REPLACE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM name FROM item WHERE id <= 3; RETURN NULL; END $$"
    )
    session.execute("CREATE OR REPLACE TRIGGER fire AFTER INSERT ON fired FOR EACH ROW EXECUTE FUNCTION fire()")
    return session


@pytest.mark.parametrize(("track", "nested_calls"), [("top", []), ("all", [5, 1, 1])])
def test_nested_statements_show_with_track_all_and_count_once(
    admin: Connection, nested: Connection, track: str, nested_calls: list[int]
) -> None:
    nested.execute(f"SET pg_stat_requests.track = '{track}'")
    with tagged(nested, "x"):
        nested.execute("SELECT calls_others()")
    cost = row(admin, "x")
    assert (cost["statements"], cost["rows"]) == (1, 1)
    held = statements(admin, "x")
    assert sorted((found["calls"] for found in held), reverse=True) == sorted([1, *nested_calls], reverse=True)
    # The time of nested statements is in their caller's, and not counted again for the request.
    assert max(found["total_time"] for found in held) == cost["total_time"] == cost["max_time"]
    if track == "all":
        (looped,) = [found for found in held if found["calls"] == 5]
        assert looped["total_time"] >= 5 * 2


@pytest.mark.parametrize("track", ["top", "all"])
def test_statements_in_triggers_and_do_blocks_are_nested(admin: Connection, nested: Connection, track: str) -> None:
    nested.execute(f"SET pg_stat_requests.track = '{track}'")
    with tagged(nested, "trigger"):
        nested.execute("INSERT INTO fired SELECT generate_series(1, 4)")
    with tagged(nested, "do"):
        nested.execute("DO $$ BEGIN FOR i IN 1..6 LOOP PERFORM count(*) FROM item; END LOOP; END $$")
    assert counts(admin, "trigger") == counts(admin, "do") == (1, 0, 1, 0)
    assert calls_and_rows(admin, "trigger") == ([(4, 12), (1, 4)] if track == "all" else [(1, 4)])
    assert calls_and_rows(admin, "do") == ([(6, 6), (1, 0)] if track == "all" else [(1, 0)])


def test_an_error_caught_in_a_nested_statement_leaves_the_rest_right(admin: Connection, nested: Connection) -> None:
    nested.execute("SET pg_stat_requests.track = 'all'")
    for _ in range(3):
        with tagged(nested, "x"):
            nested.execute(
                "DO $$ BEGIN BEGIN PERFORM 1 / (id - 1) FROM item; EXCEPTION WHEN division_by_zero THEN"
                " PERFORM 1; END; PERFORM 2; END $$"
            )
            nested.execute("SELECT 3")
    assert counts(admin, "x") == (3, 0, 6, 0)
    assert [calls for calls, _ in calls_and_rows(admin, "x")] == [3, 3, 3, 3]


def test_with_track_none_nothing_is_recorded(admin: Connection, session: Connection) -> None:
    session.execute("SET pg_stat_requests.track = 'none'")
    with tagged(session, "x"):
        session.execute("SELECT 1")
        assert read(admin, "SELECT * FROM pg_stat_requests_activity") == []
    with pytest.raises(psycopg.Error):
        session.execute("SELECT 1 / 0 /* request_id: x */")
    assert read(admin, "SELECT * FROM pg_stat_requests") == []
    assert read(admin, "SELECT * FROM pg_stat_requests_errors") == []
    session.execute("RESET pg_stat_requests.track")
    with tagged(session, "x"):
        session.execute("SELECT 1")
    assert counts(admin, "x") == (1, 0, 1, 0)


def test_track_changes_within_a_transaction(admin: Connection, session: Connection) -> None:
    with tagged(session, "x"):
        session.execute("SELECT 1")
        session.execute("SET LOCAL pg_stat_requests.track = 'none'")
        session.execute("SELECT 2")
    with tagged(session, "x"):
        session.execute("SELECT 3")
    assert counts(admin, "x") == (2, 0, 3, 0)


def test_who_may_set_what(admin: Connection, server: Postgres) -> None:
    with server.connect(user="alice") as alice:
        for setting in ("track = 'none'", "track_cpu = on", "slow_statement_threshold = 0", "log_min_duration = 0"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                alice.execute(f"SET pg_stat_requests.{setting}")
        for setting in ("save = off", "notable_duration = 0"):
            with pytest.raises(psycopg.errors.CantChangeRuntimeParam):
                alice.execute(f"SET pg_stat_requests.{setting}")


@pytest.fixture(scope="module")
def beside_pgss(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    settings = {"shared_preload_libraries": "pg_stat_statements, pg_stat_requests", "pg_stat_statements.track": "all"}
    with Postgres(tmp_path_factory.mktemp("pgss") / "server", settings=settings) as running:
        with running.connect() as connection:
            connection.execute("CREATE EXTENSION pg_stat_requests")
            connection.execute("CREATE EXTENSION pg_stat_statements")
            connection.execute(
                "CREATE TABLE item AS SELECT g AS id, 'item ' || g AS name FROM generate_series(1, 50) g"
            )
        yield running


def test_statements_join_pg_stat_statements_on_queryid(beside_pgss: Postgres) -> None:
    with beside_pgss.connect() as session, beside_pgss.connect() as other:
        session.execute("SET pg_stat_requests.track = 'all'")
        with tagged(session, "x"):
            for number in range(10):
                # By their literals these are ten texts, and one query.
                session.execute(f"SELECT name FROM item WHERE id = {number + 1}")
            session.execute("CREATE TABLE made AS SELECT 1 AS one")
            session.execute("DO $$ BEGIN PERFORM count(*) FROM item WHERE id < 20; END $$")
            session.execute("DROP TABLE made")
        joined = read(
            other,
            "SELECT r.calls, r.rows, s.calls AS their_calls, s.query FROM pg_stat_requests_statements('x') r"
            " JOIN pg_stat_statements s USING (queryid, userid, dbid) ORDER BY r.calls DESC",
        )
    assert (joined[0]["calls"], joined[0]["rows"], joined[0]["their_calls"]) == (10, 10, 10)
    assert joined[0]["query"] == "SELECT name FROM item WHERE id = $1"
    queries = " | ".join(found["query"] for found in joined)
    for part in ("CREATE TABLE made", "DO $$", "count(*) FROM item", "DROP TABLE made"):
        assert part in queries
