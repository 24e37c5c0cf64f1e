"""Other extensions that use the same hooks, loaded before or after."""

from pathlib import Path

import psycopg
import pytest

from devstack.postgres import Postgres
from tests.pg.requests_view import counts, read, row, tagged

BOTH_ORDERS = pytest.mark.parametrize(
    "order", ["pg_stat_statements, pg_stat_requests", "pg_stat_requests, pg_stat_statements"]
)


@BOTH_ORDERS
def test_request_ids_do_not_crowd_pg_stat_statements(tmp_path: Path, order: str) -> None:
    with Postgres(tmp_path / "server", settings={"shared_preload_libraries": order}) as server:
        with server.connect() as connection:
            connection.execute("CREATE EXTENSION pg_stat_requests")
            connection.execute("CREATE EXTENSION pg_stat_statements")
            for number in range(50):
                connection.execute(f"BEGIN; SET LOCAL pg_stat_requests.request_id = 'id-{number}'; SELECT 1; COMMIT")
            connection.execute("SET pg_stat_requests.request_id = 'of-the-session'")
            for number in range(50):
                connection.execute(f"SELECT 'by a comment' /* request_id: comment-{number} */")
            commented = read(connection, "SELECT calls FROM pg_stat_statements WHERE query LIKE '%/* request_id%'")
            assert commented == [{"calls": 50}]
            entries = read(connection, "SELECT query FROM pg_stat_statements WHERE query ILIKE '%.request_id%'")
            assert entries == []
            assert counts(connection, "id-49") == (1, 0, 1, 0)
            assert read(connection, "SHOW pg_stat_requests.request_id")[0].popitem()[1] == "of-the-session"
        assert server.fatal_log_lines() == []


@BOTH_ORDERS
def test_pg_stat_statements_and_this_one_count_the_same(tmp_path: Path, order: str) -> None:
    settings: dict[str, str | int] = {
        "shared_preload_libraries": f"{order}, auto_explain",
        "auto_explain.log_min_duration": 0,
    }
    with Postgres(tmp_path / "server", settings=settings) as server:
        with server.connect() as connection:
            connection.execute("CREATE EXTENSION pg_stat_requests")
            connection.execute("CREATE EXTENSION pg_stat_statements")
            connection.execute("CREATE TABLE item AS SELECT generate_series(1, 100) AS id")
            connection.execute("SELECT pg_stat_statements_reset()")
            for number in range(1, 11):
                with tagged(connection, "x"):
                    connection.execute("SELECT * FROM item WHERE id <= %s", (number,))
                    connection.execute("UPDATE item SET id = id WHERE id <= %s", (number,))
            with pytest.raises(psycopg.errors.DivisionByZero), tagged(connection, "x"):
                connection.execute("SELECT 1 / (id - id) FROM item")
            assert counts(connection, "x") == (11, 1, 21, 1)
            (theirs,) = read(
                connection,
                "SELECT sum(calls) AS calls, sum(rows) AS rows FROM pg_stat_statements WHERE query LIKE '% item %'",
            )
            assert theirs["calls"] == 20
            assert row(connection, "x")["rows"] == theirs["rows"] == 2 * sum(range(1, 11))
        server.stop()
        assert server.fatal_log_lines() == []


NEIGHBOURS = "pg_stat_statements, pg_stat_kcache, pg_wait_sampling, auto_explain"


@pytest.mark.parametrize("order", [f"{NEIGHBOURS}, pg_stat_requests", f"pg_stat_requests, {NEIGHBOURS}"])
def test_all_neighbours_together_leave_each_other_their_results(tmp_path: Path, order: str) -> None:
    settings: dict[str, str | int] = {
        "shared_preload_libraries": order,
        "auto_explain.log_min_duration": 0,
        "pg_stat_statements.track": "all",
        "pg_wait_sampling.profile_period": 5,
    }
    with Postgres(tmp_path / "server", settings=settings) as server:
        with server.connect() as connection, server.connect() as other:
            for extension in ("pg_stat_requests", "pg_stat_statements", "pg_stat_kcache", "pg_wait_sampling"):
                connection.execute(f"CREATE EXTENSION {extension}")
            connection.execute("CREATE TABLE item AS SELECT generate_series(1, 100) AS id")
            connection.execute(
                "CREATE FUNCTION counted() RETURNS bigint LANGUAGE plpgsql AS"
                " $$ BEGIN RETURN (SELECT count(*) FROM item); END $$"
            )
            connection.execute("SELECT pg_stat_statements_reset(), pg_stat_kcache_reset()")
            for number in range(1, 11):
                with tagged(connection, "x"):
                    connection.execute("SELECT * FROM item WHERE id <= %s", (number,))
                    connection.execute("SELECT counted()")
                connection.execute("UPDATE item SET id = id WHERE id <= %s /* request_id: y */", (number,))
            with pytest.raises(psycopg.errors.DivisionByZero), tagged(connection, "x"):
                connection.execute("SELECT 1 / (id - id) FROM item")
            with tagged(connection, "x"):
                connection.execute("SELECT pg_sleep(0.1)")
                connection.execute("SELECT sum(number) FROM generate_series(1, 2000000) AS number")
            assert counts(other, "x") == (12, 1, 23, 1)
            assert row(other, "x")["rows"] == sum(range(1, 11)) + 10 + 2
            assert counts(other, "y") == (10, 0, 10, 0)
            assert row(other, "y")["rows"] == sum(range(1, 11))
            calls = "SELECT calls, rows FROM pg_stat_statements WHERE query LIKE %s"
            assert read(other, calls, "SELECT * FROM item WHERE%") == [{"calls": 10, "rows": 55}]
            assert read(other, calls, "%counted()%") == [{"calls": 10, "rows": 10}]
            assert read(other, calls, "%count(*) FROM item%") == [{"calls": 10, "rows": 10}]
            (kcache,) = read(
                other,
                "SELECT sum(exec_user_time) > 0 AS worked FROM pg_stat_kcache() k JOIN pg_stat_statements s"
                " USING (queryid) WHERE s.query LIKE '%generate_series%'",
            )
            assert kcache == {"worked": True}
            (waited,) = read(
                other, "SELECT sum(count) AS samples FROM pg_wait_sampling_profile WHERE event = 'PgSleep'"
            )
            assert waited["samples"] > 0
            assert "Query Text: SELECT * FROM item WHERE id <= $1" in server.log.read_text()
        server.stop()
