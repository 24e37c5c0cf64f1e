"""What the row of a request must be after statements of each kind."""

import asyncpg
import pytest

from devstack.postgres import Postgres
from tests.pg.requests_view import SET_ID, Connection, counts, read, row, rows, tagged


def test_set_config_in_a_transaction_tags_what_follows_it(admin: Connection, session: Connection) -> None:
    session.execute("BEGIN; SELECT set_config('pg_stat_requests.request_id', 'x', true); SELECT 1; COMMIT")
    assert counts(admin, "x") == (1, 0, 1, 0)
    assert row(admin, "x")["rows"] == 1


def test_set_local_tags_what_follows_it(admin: Connection, session: Connection) -> None:
    session.execute("BEGIN; SET LOCAL pg_stat_requests.request_id = 'x'; SELECT 1; SELECT 2; COMMIT")
    assert counts(admin, "x") == (1, 0, 2, 0)


def test_the_id_is_gone_with_its_transaction(admin: Connection, session: Connection) -> None:
    with tagged(session, "x"):
        session.execute("SELECT 1")
    session.execute("SELECT 2")
    assert counts(admin, "x") == (1, 0, 1, 0)


def test_untagged_work_is_not_recorded(admin: Connection, session: Connection) -> None:
    session.execute("SELECT 1")
    session.execute("BEGIN; INSERT INTO item VALUES (-1); ROLLBACK")
    assert read(admin, "SELECT * FROM pg_stat_requests") == []


def test_rows_returned_and_changed_are_counted(admin: Connection, session: Connection) -> None:
    with tagged(session, "x"):
        session.execute("SELECT * FROM item WHERE id <= 10")
        session.execute("CREATE TEMP TABLE copy AS SELECT * FROM item WHERE id <= 20")
        session.execute("INSERT INTO copy SELECT * FROM item WHERE id <= 30")
        session.execute("UPDATE copy SET name = '' WHERE id <= 5")
        session.execute("DELETE FROM copy WHERE id <= 3")
        session.execute("DROP TABLE copy")
    assert row(admin, "x")["statements"] == 6
    assert row(admin, "x")["rows"] == 10 + 20 + 30 + 10 + 6


def test_blocks_and_wal_of_the_whole_transaction_are_counted(admin: Connection, session: Connection) -> None:
    with tagged(session, "x"):
        session.execute("CREATE TABLE written AS SELECT * FROM item")
        session.execute("DROP TABLE written")
    cost = row(admin, "x")
    assert cost["shared_blks_hit"] > 0
    assert cost["shared_blks_dirtied"] > 0
    assert cost["wal_records"] > 1000
    assert cost["wal_bytes"] > 50_000


def test_the_wal_of_the_commit_is_counted(admin: Connection, session: Connection) -> None:
    session.execute("BEGIN")
    session.execute("SELECT pg_current_xact_id()")
    session.execute(SET_ID, ("x",))
    session.execute("COMMIT")
    assert row(admin, "x")["wal_records"] == 1


def test_time_is_in_milliseconds_and_max_is_of_one_statement(admin: Connection, session: Connection) -> None:
    with tagged(session, "x"):
        session.execute("SELECT pg_sleep(0.05)")
        session.execute("SELECT pg_sleep(0.1)")
    cost = row(admin, "x")
    assert cost["max_time"] >= 100
    assert cost["max_time"] + 50 <= cost["total_time"]


def test_first_and_last_seen_are_when_it_was(admin: Connection, session: Connection) -> None:
    (before,) = read(admin, "SELECT clock_timestamp() AS now")
    with tagged(session, "x"):
        session.execute("SELECT pg_sleep(0.02)")
    (after,) = read(admin, "SELECT clock_timestamp() AS now")
    cost = row(admin, "x")
    assert before["now"] <= cost["first_seen"] < cost["last_seen"] <= after["now"]
    assert (cost["last_seen"] - cost["first_seen"]).total_seconds() >= 0.02


def test_queries_inside_a_function_are_part_of_their_statement(admin: Connection, session: Connection) -> None:
    session.execute(
        "CREATE OR REPLACE FUNCTION nested() RETURNS int LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM count(*) FROM item; EXECUTE 'ANALYZE item'; RETURN 1; END $$"
    )
    with tagged(session, "x"):
        session.execute("SELECT nested()")
    assert counts(admin, "x") == (1, 0, 1, 0)
    assert row(admin, "x")["rows"] == 1


def test_a_do_block_is_one_statement(admin: Connection, session: Connection) -> None:
    with tagged(session, "x"):
        session.execute("DO $$ BEGIN FOR i IN 1..5 LOOP PERFORM count(*) FROM item; END LOOP; END $$")
    assert counts(admin, "x") == (1, 0, 1, 0)
    assert row(admin, "x")["shared_blks_hit"] > 5


def test_an_after_trigger_is_part_of_its_statement(admin: Connection, session: Connection) -> None:
    session.execute("CREATE TABLE IF NOT EXISTS triggering (id int)")
    session.execute(
        "CREATE OR REPLACE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_sleep(0.05); RETURN NULL; END $$"
    )
    session.execute("CREATE OR REPLACE TRIGGER slow AFTER INSERT ON triggering EXECUTE FUNCTION slow()")
    with tagged(session, "x"):
        session.execute("INSERT INTO triggering VALUES (1)")
    assert counts(admin, "x") == (1, 0, 1, 0)
    assert row(admin, "x")["max_time"] >= 50


def test_queries_of_deferred_triggers_are_no_statements(admin: Connection, session: Connection) -> None:
    session.execute("CREATE TABLE IF NOT EXISTS referring (id int REFERENCES item DEFERRABLE INITIALLY DEFERRED)")
    with tagged(session, "x"):
        session.execute("INSERT INTO referring VALUES (1), (2)")
    assert counts(admin, "x") == (1, 0, 1, 0)


def test_a_cursor_counts_its_declaration_and_each_fetch(admin: Connection, session: Connection) -> None:
    with tagged(session, "x"):
        session.execute("DECLARE c CURSOR FOR SELECT * FROM item")
        session.execute("FETCH 10 FROM c")
        session.execute("FETCH 20 FROM c")
        session.execute("CLOSE c")
    assert counts(admin, "x") == (1, 0, 4, 0)
    assert row(admin, "x")["rows"] == 30


def test_storing_a_cursor_at_commit_is_no_statement(admin: Connection, session: Connection) -> None:
    with tagged(session, "x"):
        session.execute("DECLARE kept CURSOR WITH HOLD FOR SELECT * FROM item")
    assert len(session.execute("FETCH ALL FROM kept").fetchall()) == 1000
    assert counts(admin, "x") == (1, 0, 1, 0)
    assert row(admin, "x")["rows"] == 0


def test_functions_that_run_while_partitions_are_pruned_are_no_statements(
    admin: Connection, session: Connection
) -> None:
    session.execute("CREATE TABLE part (tenant int, v int) PARTITION BY LIST (tenant)")
    session.execute("CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1)")
    session.execute("CREATE TABLE part_2 PARTITION OF part FOR VALUES IN (2)")
    session.execute(
        "CREATE FUNCTION tenant() RETURNS int STABLE LANGUAGE plpgsql"
        " AS $$ BEGIN PERFORM count(*) FROM item; RETURN 1; END $$"
    )
    with tagged(session, "x"):
        session.execute("SELECT * FROM part WHERE tenant = tenant()")
        session.execute("UPDATE part SET v = 1 WHERE tenant = tenant()")
    assert counts(admin, "x") == (1, 0, 2, 0)


def test_copy_is_a_statement_with_rows(admin: Connection, session: Connection) -> None:
    with tagged(session, "x"):
        session.execute("CREATE TEMP TABLE target (id int, name text)")
        with session.cursor() as cursor, cursor.copy("COPY target FROM STDIN") as copy:
            for number in range(50):
                copy.write_row((number, "n"))
        with session.cursor() as cursor, cursor.copy("COPY (SELECT * FROM target) TO STDOUT") as copy:
            assert len(list(copy.rows())) == 50
        session.execute("DROP TABLE target")
    assert counts(admin, "x") == (1, 0, 4, 0)
    assert row(admin, "x")["rows"] == 100


def test_a_prepared_statement_counts_each_execution(admin: Connection, session: Connection) -> None:
    with tagged(session, "x"):
        for number in range(1, 11):
            session.execute("SELECT name FROM item WHERE id = %s", (number,), prepare=True)
    assert row(admin, "x")["rows"] == 10
    # psycopg prepares once (a protocol message, no statement) and executes ten times.
    assert counts(admin, "x") == (1, 0, 10, 0)


def test_sql_execute_counts_once_with_the_rows_of_what_it_runs(admin: Connection, session: Connection) -> None:
    session.execute("PREPARE find (int) AS SELECT * FROM item WHERE id <= $1")
    with tagged(session, "x"):
        session.execute("EXECUTE find (7)")
    assert counts(admin, "x") == (1, 0, 1, 0)
    assert row(admin, "x")["rows"] == 7


def test_a_pipeline_is_tagged_from_the_id_on(admin: Connection, session: Connection) -> None:
    with session.pipeline():
        session.execute("BEGIN")
        session.execute(SET_ID, ("x",))
        session.execute("SELECT * FROM item WHERE id <= %s", (3,))
        session.execute("SELECT * FROM item WHERE id <= %s", (4,))
        session.execute("COMMIT")
    assert counts(admin, "x") == (1, 0, 2, 0)
    assert row(admin, "x")["rows"] == 7


async def test_a_portal_read_in_batches_is_one_statement(admin: Connection, server: Postgres) -> None:
    session = await asyncpg.connect(server.dsn())
    async with session.transaction():
        await session.execute(SET_ID.replace("%s", "'x'"))
        batches = await session.cursor("SELECT * FROM item WHERE id <= $1", 25)
        assert [len(await batches.fetch(10)) for _ in range(4)] == [10, 10, 5, 0]
    await session.close()
    assert counts(admin, "x") == (1, 0, 1, 0)
    assert row(admin, "x")["rows"] == 25


def test_parallel_workers_count_for_their_leader(admin: Connection, session: Connection) -> None:
    session.execute(
        "CREATE TABLE IF NOT EXISTS wide AS SELECT g, repeat('x', 500) AS t FROM generate_series(1, 20000) g"
    )
    session.execute("ANALYZE wide")
    for setting in ("parallel_setup_cost", "parallel_tuple_cost", "min_parallel_table_scan_size"):
        session.execute(f"SET {setting} = 0")
    session.execute("SET parallel_leader_participation = off")
    with tagged(session, "x"):
        (plan,) = session.execute("EXPLAIN (ANALYZE, FORMAT JSON) SELECT count(*) FROM wide").fetchall()
    assert "Workers Launched" in str(plan)
    cost = row(admin, "x")
    assert cost["statements"] == 1
    assert cost["shared_blks_hit"] + cost["shared_blks_read"] > 1000


def test_a_security_definer_function_counts_for_its_caller(admin: Connection, server: Postgres) -> None:
    admin.execute(
        "CREATE OR REPLACE FUNCTION elevated() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS"
        " 'SELECT count(*) FROM item'"
    )
    with server.connect(user="alice") as alice, tagged(alice, "x"):
        alice.execute("SELECT elevated()")
    assert [found["user"] for found in rows(admin, "x")] == ["alice"]


def test_set_role_divides_a_request_by_role(admin: Connection, session: Connection) -> None:
    with tagged(session, "x"):
        session.execute("SELECT 1")
        session.execute("SET LOCAL ROLE alice")
        session.execute("SELECT 2")
        session.execute("SELECT 3")
    by_role = {found["user"]: found for found in rows(admin, "x")}
    assert {role: found["statements"] for role, found in by_role.items()} == {"postgres": 2, "alice": 2}
    assert {found["transactions"] for found in by_role.values()} == {1}


def test_databases_have_rows_of_their_own(admin: Connection, server: Postgres) -> None:
    admin.execute("CREATE DATABASE other")
    for database in ("postgres", "other"):
        with server.connect(dbname=database) as connection, tagged(connection, "x"):
            connection.execute("SELECT 1")
    assert {found["database"] for found in rows(admin, "x")} == {"postgres", "other"}
    admin.execute("DROP DATABASE other")
    assert {found["database"] for found in rows(admin, "x")} == {"postgres", None}


@pytest.mark.parametrize("statement", ["SHOW work_mem", "SET LOCAL work_mem = '8MB'", "LOCK item", "ANALYZE item"])
def test_other_utility_statements_count(admin: Connection, session: Connection, statement: str) -> None:
    with tagged(session, "x"):
        session.execute(statement)
    assert counts(admin, "x") == (1, 0, 1, 0)


def test_a_dropped_role_leaves_its_row_without_a_name(admin: Connection, server: Postgres) -> None:
    admin.execute("CREATE ROLE leaver LOGIN")
    with server.connect(user="leaver") as connection, tagged(connection, "x"):
        connection.execute("SELECT 1")
    admin.execute("DROP ROLE leaver")
    gone = row(admin, "x")
    assert gone["user"] is None
    assert gone["userid"] > 0
