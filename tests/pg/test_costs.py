"""What the row of a request must say of what its work cost: times, blocks, CPU, backends."""

from __future__ import annotations

import contextlib
import threading
import time

import psycopg
import pytest

from devstack.postgres import Postgres
from tests.pg.requests_view import SET_ID, Connection, counts, fail_twice_in_a_block, read, row, tagged, wait_for

# Planning a query over so many tables takes far longer than a statement over none.
MANY_TABLES = "SELECT count(*) FROM " + " NATURAL JOIN ".join(f"item AS i{number}" for number in range(7))


def begin(session: Connection, request_id: str) -> None:
    session.execute(f"BEGIN; SET LOCAL pg_stat_requests.request_id = '{request_id}'")


def test_planning_time_is_told_apart_from_executing(admin: Connection, session: Connection) -> None:
    with tagged(session, "cheap"):
        session.execute("SELECT 1")
    with tagged(session, "planned"):
        session.execute("EXPLAIN " + MANY_TABLES)
        session.execute(MANY_TABLES)
    assert 0 < row(admin, "cheap")["plan_time"] < row(admin, "planned")["plan_time"]
    assert counts(admin, "planned") == (1, 0, 2, 0)


def test_planning_counts_for_the_id_of_its_own_statements_comment(admin: Connection, session: Connection) -> None:
    session.execute(f"/* request_id: by-comment */ {MANY_TABLES}")
    session.execute(f"{MANY_TABLES} WHERE i0.id = %s /* request_id: with-parameters */", (1,))
    for request_id in ("by-comment", "with-parameters"):
        assert row(admin, request_id)["plan_time"] > 0
        assert row(admin, request_id)["shared_blks_hit"] > 0
    session.execute("SELECT 'untagged'")


def test_a_cached_plan_costs_no_planning(admin: Connection, session: Connection) -> None:
    session.execute("SET plan_cache_mode = force_generic_plan")
    for request_id in ("first", "again"):
        with tagged(session, request_id):
            session.execute("SELECT name FROM item WHERE id = %s AND name <> %s", (1, "x"), prepare=True)
    # SELECT set_config is planned before its id is in effect, and COMMIT is not planned.
    assert row(admin, "first")["plan_time"] > 0
    assert row(admin, "again")["plan_time"] == 0


def test_planning_that_fails_counts(admin: Connection, session: Connection) -> None:
    begin(session, "x")
    with pytest.raises(psycopg.errors.DivisionByZero):
        session.execute("SELECT 1 / 0")
    session.execute("ROLLBACK")
    assert row(admin, "x")["plan_time"] > 0
    assert counts(admin, "x") == (1, 1, 1, 1)


def test_queries_inside_of_planning_are_neither_statements_nor_planned(admin: Connection, session: Connection) -> None:
    """An immutable function of constants is called by the planner, and its comment is not the client's."""
    session.execute(
        "CREATE OR REPLACE FUNCTION folded() RETURNS int IMMUTABLE LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM 1 /* request_id: of-the-function */ FROM item; RETURN 1 /* request_id: other */; END $$"
    )
    begin(session, "x")
    session.execute("SELECT folded()")
    session.execute("SELECT folded() + %s", (1,))
    session.execute("COMMIT")
    session.execute("SELECT folded()")
    assert counts(admin, "x") == (1, 0, 2, 0)
    assert admin.execute("SELECT count(*) FROM pg_stat_requests").fetchone() == (1,)


def test_commit_time_is_that_of_the_commit(admin: Connection, session: Connection) -> None:
    """Deferred triggers run when the COMMIT has come."""
    session.execute("CREATE TABLE IF NOT EXISTS late_work (id int)")
    session.execute(
        "CREATE OR REPLACE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_sleep(0.05); RETURN NULL; END $$"
    )
    session.execute("DROP TRIGGER IF EXISTS late ON late_work")
    session.execute(
        "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON late_work DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION late()"
    )
    begin(session, "explicit")
    session.execute("INSERT INTO late_work VALUES (1)")
    session.execute("COMMIT")
    session.execute("SET pg_stat_requests.request_id = 'implicit'")
    session.execute("INSERT INTO late_work VALUES (1)")
    session.execute("RESET pg_stat_requests.request_id")
    for request_id in ("explicit", "implicit"):
        cost = row(admin, request_id)
        assert cost["commit_time"] >= 50
        assert cost["plan_time"] + cost["total_time"] + cost["commit_time"] < 2 * cost["commit_time"]
    begin(session, "rolled-back")
    session.execute("INSERT INTO late_work VALUES (1)")
    session.execute("ROLLBACK")
    assert row(admin, "rolled-back")["commit_time"] == 0


def test_a_procedures_commits_are_in_its_time_and_in_commit_time(admin: Connection, session: Connection) -> None:
    session.execute("CREATE TABLE IF NOT EXISTS committed (id int)")
    session.execute(
        "CREATE OR REPLACE PROCEDURE commits() LANGUAGE plpgsql AS"
        " $$ BEGIN FOR i IN 1..3 LOOP INSERT INTO committed VALUES (i); COMMIT; END LOOP; END $$"
    )
    session.execute("CALL commits() /* request_id: x */")
    cost = row(admin, "x")
    assert (cost["transactions"], cost["statements"]) == (4, 1)
    assert 0 < cost["commit_time"] < cost["total_time"] + cost["commit_time"]
    assert cost["wal_records"] >= 6


def test_a_procedure_that_sets_ids_and_commits_has_no_more_than_the_commits_in_commit_time(
    admin: Connection, session: Connection
) -> None:
    session.execute(
        "CREATE OR REPLACE PROCEDURE sets_ids() LANGUAGE plpgsql AS $$ BEGIN FOR i IN 1..6 LOOP"
        " PERFORM set_config('pg_stat_requests.request_id', 'id-' || i, true), pg_sleep(0.1); COMMIT; END LOOP; END $$"
    )
    started = time.monotonic()
    session.execute("CALL sets_ids()")
    elapsed = (time.monotonic() - started) * 1000
    (told,) = read(admin, "SELECT count(*) AS ids, sum(commit_time) AS committing FROM pg_stat_requests")
    assert told["ids"] == 6
    assert 0 < told["committing"] < elapsed - 6 * 100


def test_idle_time_in_a_transaction_is_the_clients(admin: Connection, session: Connection) -> None:
    begin(session, "patient")
    session.execute("SELECT pg_sleep(0.03)")
    time.sleep(0.04)
    session.execute("SELECT 1")
    time.sleep(0.04)
    session.execute("COMMIT")
    time.sleep(0.04)
    cost = row(admin, "patient")
    assert cost["idle_in_transaction_time"] >= 80
    seen = (cost["last_seen"] - cost["first_seen"]).total_seconds() * 1e3
    assert cost["idle_in_transaction_time"] + cost["total_time"] + cost["commit_time"] <= seen + 1


def test_idle_time_of_a_session_level_id_begins_with_the_transaction(admin: Connection, session: Connection) -> None:
    session.execute("SET pg_stat_requests.request_id = 'x'")
    session.execute("BEGIN")
    time.sleep(0.04)
    session.execute("SELECT 1")
    session.execute("ROLLBACK")
    assert row(admin, "x")["idle_in_transaction_time"] >= 40


def test_time_between_transactions_is_not_idle_time(admin: Connection, session: Connection) -> None:
    session.execute("SET pg_stat_requests.request_id = 'x'")
    for _ in range(3):
        session.execute("SELECT 1")
        time.sleep(0.02)
    session.execute("BEGIN; SELECT 1; SELECT pg_sleep(0.02); COMMIT")
    assert row(admin, "x")["idle_in_transaction_time"] == 0


def test_time_after_a_failed_block_is_not_idle_time(admin: Connection, session: Connection) -> None:
    """The second error comes when the transaction has ended: it is kept for the next one."""
    session.execute("SET pg_stat_requests.request_id = 'x'")
    for follows in (("SELECT 1",), ("BEGIN", "COMMIT")):
        fail_twice_in_a_block(session)
        session.execute("ROLLBACK")
        time.sleep(1)
        for statement in follows:
            session.execute(statement)
    assert row(admin, "x")["idle_in_transaction_time"] < 1000
    assert counts(admin, "x") == (5, 2, 5, 4)


def test_idle_time_in_the_transaction_after_a_failed_block_counts(admin: Connection, session: Connection) -> None:
    session.execute("SET pg_stat_requests.request_id = 'x'")
    fail_twice_in_a_block(session)
    session.execute("ROLLBACK")
    session.execute("BEGIN")
    time.sleep(0.04)
    session.execute("COMMIT")
    assert row(admin, "x")["idle_in_transaction_time"] >= 40


def test_idle_time_counts_until_a_session_ends_in_its_transaction(admin: Connection, server: Postgres) -> None:
    """These are the transactions that held their locks for longest."""
    for request_id, timeout in (("timed-out", "50ms"), ("left", "0")):
        connection = server.connect()
        # In one message, so that the session is not idle before its end.
        connection.execute(
            f"SET idle_in_transaction_session_timeout = '{timeout}';"
            f"BEGIN; SET LOCAL pg_stat_requests.request_id = '{request_id}'; SELECT 1"
        )
        time.sleep(0.05)
        connection.close()
    wait_for(lambda: read(admin, "SELECT FROM pg_stat_requests WHERE rollbacks = 1") == [{}] * 2)
    for request_id, errors in (("timed-out", 1), ("left", 0)):
        assert counts(admin, request_id) == (1, 1, 1, errors)
        cost = row(admin, request_id)
        assert cost["idle_in_transaction_time"] >= 50
        seen = (cost["last_seen"] - cost["first_seen"]).total_seconds() * 1e3
        assert cost["idle_in_transaction_time"] + cost["total_time"] <= seen + 1


def test_each_id_of_a_transaction_has_its_own_idle_time(admin: Connection, session: Connection) -> None:
    begin(session, "first")
    session.execute("SELECT 1")
    time.sleep(0.04)
    session.execute("SET LOCAL pg_stat_requests.request_id = 'second'")
    session.execute("SELECT 2")
    session.execute("COMMIT")
    assert row(admin, "first")["idle_in_transaction_time"] >= 40
    assert row(admin, "second")["idle_in_transaction_time"] < row(admin, "first")["idle_in_transaction_time"]


def test_temporary_tables_use_local_blocks(admin: Connection, session: Connection) -> None:
    buffers, pages = 100, 250
    session.execute(f"SET temp_buffers = {buffers}")
    with tagged(session, "x"):
        session.execute(f"CREATE TEMP TABLE scratch AS SELECT repeat('x', 1000) FROM generate_series(1, {7 * pages})")
        session.execute("SELECT count(*) FROM scratch")
        for _ in range(2):
            session.execute("SELECT FROM scratch LIMIT 1")
    cost = row(admin, "x")
    assert pages - buffers <= cost["local_blks_read"] <= pages + buffers
    assert cost["local_blks_written"] >= pages - buffers
    assert cost["local_blks_dirtied"] >= pages
    assert cost["local_blks_hit"] > 0


def test_the_first_change_of_a_page_after_a_checkpoint_writes_its_image(admin: Connection, session: Connection) -> None:
    session.execute("CREATE TABLE imaged AS SELECT 1 AS id")
    admin.execute("CHECKPOINT")
    for request_id in ("first", "second"):
        with tagged(session, request_id):
            session.execute("UPDATE imaged SET id = id + 1")
    session.execute("DROP TABLE imaged")
    first, second = row(admin, "first"), row(admin, "second")
    assert first["wal_fpi"] > second["wal_fpi"]
    assert first["wal_bytes"] > second["wal_bytes"] > 0


def test_a_sort_that_spills_uses_temporary_files_and_takes_time(admin: Connection, session: Connection) -> None:
    session.execute("SET work_mem = '64kB'")
    session.execute("SET track_io_timing = on")
    with tagged(session, "spilled"):
        session.execute("SELECT count(*) FROM (SELECT g FROM generate_series(1, 50000) g ORDER BY -g) AS sorted")
    cost = row(admin, "spilled")
    assert cost["temp_blks_read"] > 0
    assert cost["temp_blks_written"] > 0
    assert cost["temp_blk_write_time"] > 0
    assert cost["temp_blk_read_time"] > 0


@pytest.mark.parametrize("timed", [True, False])
def test_reading_from_disk_takes_time_where_it_is_tracked(admin: Connection, session: Connection, timed: bool) -> None:
    session.execute(f"SET track_io_timing = {'on' if timed else 'off'}")
    session.execute("DROP TABLE IF EXISTS big")
    # Larger than the ring of buffers that a sequential scan uses, and than a quarter of the cache.
    session.execute("CREATE TABLE big AS SELECT g, repeat('x', 1000) AS t FROM generate_series(1, 40000) g")
    with tagged(session, "x"):
        session.execute("SELECT count(*) FROM big")
        session.execute("UPDATE big SET g = g + 1")
    cost = row(admin, "x")
    session.execute("DROP TABLE big")
    assert cost["shared_blks_read"] > 0
    assert (cost["blk_read_time"] > 0) == timed
    assert (cost["blk_write_time"] > 0) == (timed and cost["shared_blks_written"] > 0)


def test_cpu_time_is_measured_where_the_setting_says_so(admin: Connection, session: Connection) -> None:
    busy = "SELECT count(*) FROM generate_series(1, 400000)"
    with tagged(session, "unmeasured"):
        session.execute(busy)
    session.execute("SET pg_stat_requests.track_cpu = on")
    with tagged(session, "measured"):
        session.execute(busy)
        session.execute("SELECT pg_sleep(0.05)")
    with tagged(session, "switched"):
        session.execute("SET pg_stat_requests.track_cpu = off")
        session.execute(busy)
    measured = row(admin, "measured")
    assert measured["user_time"] + measured["system_time"] > 0
    assert measured["user_time"] < measured["total_time"]
    for request_id in ("unmeasured", "switched"):
        assert (row(admin, request_id)["user_time"], row(admin, request_id)["system_time"]) == (0, 0)


def test_backends_are_counted_once_each(admin: Connection, server: Postgres) -> None:
    different: dict[int, Connection] = {}
    with contextlib.ExitStack() as opened:
        for _ in range(20):
            connection = opened.enter_context(server.connect())
            different.setdefault(connection.info.backend_pid % 64, connection)
        chosen = list(different.values())[:4]
        assert len(chosen) == 4
        for connection in [*chosen, *chosen]:
            with tagged(connection, "x"):
                connection.execute("SELECT 1")
        with tagged(chosen[0], "alone"):
            chosen[0].execute("SELECT 1")
    assert row(admin, "x")["backends"] == 4
    assert row(admin, "alone")["backends"] == 1


@pytest.mark.parametrize(
    ("statement", "sqlstate"),
    [
        ("SELECT 1 / (id - 1) FROM item", "22012"),
        ("SELECT nothing FROM item", "42703"),
        ("SELEC 1", "42601"),
        ("INSERT INTO item VALUES (1, '')", "23505"),
        ("DO $$ BEGIN RAISE 'mine' USING ERRCODE = 'ZX001'; END $$", "ZX001"),
    ],
)
def test_the_sqlstate_of_a_failure_is_kept(
    admin: Connection, session: Connection, statement: str, sqlstate: str
) -> None:
    with pytest.raises(psycopg.Error), tagged(session, "x"):
        session.execute(statement)
    assert row(admin, "x")["last_sqlstate"] == sqlstate
    with tagged(session, "x"):
        session.execute("SELECT 1")
    assert row(admin, "x")["last_sqlstate"] == sqlstate
    with pytest.raises(psycopg.errors.UndefinedTable), tagged(session, "x"):
        session.execute("SELECT * FROM nowhere")
    assert row(admin, "x")["last_sqlstate"] == "42P01"


def test_cancelled_and_timed_out_statements_keep_their_sqlstates(admin: Connection, session: Connection) -> None:
    session.execute("SET statement_timeout = '20ms'")
    with pytest.raises(psycopg.errors.QueryCanceled), tagged(session, "timed-out"):
        session.execute("SELECT pg_sleep(60)")
    session.execute("RESET statement_timeout")
    assert row(admin, "timed-out")["last_sqlstate"] == "57014"
    canceller = threading.Timer(0.1, session.cancel)
    canceller.start()
    with pytest.raises(psycopg.errors.QueryCanceled), tagged(session, "cancelled"):
        session.execute("SELECT pg_sleep(60)")
    canceller.join()
    assert row(admin, "cancelled")["last_sqlstate"] == "57014"
    assert row(admin, "cancelled")["max_time"] > 0


def test_parallel_workers_blocks_are_their_leaders(admin: Connection, session: Connection) -> None:
    session.execute("DROP TABLE IF EXISTS spread")
    session.execute("CREATE TABLE spread AS SELECT g, repeat('x', 500) AS t FROM generate_series(1, 20000) g")
    session.execute("ANALYZE spread")
    for setting in ("parallel_setup_cost", "parallel_tuple_cost", "min_parallel_table_scan_size"):
        session.execute(f"SET {setting} = 0")
    session.execute("SET parallel_leader_participation = off")
    begin(session, "x")
    session.execute("SELECT count(*) FROM spread")
    session.execute("COMMIT")
    (pages,) = session.execute("SELECT pg_relation_size('spread') / 8192").fetchone() or (0,)
    session.execute("DROP TABLE spread")
    cost = row(admin, "x")
    assert cost["shared_blks_hit"] + cost["shared_blks_read"] >= pages
    assert (cost["statements"], cost["rows"], cost["backends"]) == (1, 1, 1)


def test_two_phase_commit_has_a_commit_time_at_prepare(admin: Connection, session: Connection) -> None:
    session.execute("BEGIN")
    session.execute(SET_ID, ("x",))
    session.execute("UPDATE item SET name = name WHERE id = 1")
    session.execute("PREPARE TRANSACTION 'costly'")
    cost = row(admin, "x")
    assert cost["commit_time"] > 0
    assert cost["wal_records"] > 0
    session.execute("ROLLBACK PREPARED 'costly'")
    assert row(admin, "x") == cost
