"""The last errors and slow statements of requests, who blocks whom, and the line that a long request writes."""

from __future__ import annotations

import json
import re
import threading

import asyncpg
import psycopg
import pytest

from devstack.postgres import Postgres
from tests.pg.requests_view import Connection, Row, counts, info, read, rows, tagged, wait_for


def errors(connection: Connection) -> list[Row]:
    return read(connection, "SELECT * FROM pg_stat_requests_errors ORDER BY time")


def slow(connection: Connection) -> list[Row]:
    return read(connection, "SELECT * FROM pg_stat_requests_slow ORDER BY time")


def test_errors_are_kept_with_their_messages(admin: Connection, session: Connection) -> None:
    for failing in ("SELECT 1 / (id - 1) FROM item", "SELECT nothing FROM item"):
        with pytest.raises(psycopg.Error), tagged(session, "x"):
            session.execute(failing)
    with pytest.raises(psycopg.errors.DivisionByZero):
        session.execute("SELECT 1 / 0")  # of no request
    divided, unknown = errors(admin)
    assert (divided["request_id"], divided["sqlstate"], divided["message"]) == ("x", "22012", "division by zero")
    assert (unknown["sqlstate"], unknown["message"]) == ("42703", 'column "nothing" does not exist')
    assert unknown["queryid"] is None
    (statement,) = read(admin, "SELECT queryid FROM pg_stat_requests_statements('x')")
    assert divided["queryid"] == statement["queryid"]
    assert (divided["database"], divided["user"], divided["pid"]) == ("postgres", "postgres", session.info.backend_pid)
    assert info(admin)["errors_used"] == 2


def test_several_errors_of_one_transaction_are_kept(admin: Connection, session: Connection) -> None:
    with tagged(session, "x"):
        for number in range(10):
            session.execute("SAVEPOINT s")
            with pytest.raises(psycopg.Error):
                session.execute(f"DO $$ BEGIN RAISE 'error {number}'; END $$")
            session.execute("ROLLBACK TO s")
    # A DO that starts publishes the error of the one before, so that none is lost.
    assert [error["message"] for error in errors(admin)] == [f"error {number}" for number in range(10)]
    assert counts(admin, "x") == (1, 0, 10, 10)
    assert info(admin)["errors_overwritten"] == 0


def test_errors_that_come_faster_than_statements_are_counted_as_lost(admin: Connection, session: Connection) -> None:
    with tagged(session, "x"):
        for number in range(6):
            session.execute("SAVEPOINT s")
            with pytest.raises(psycopg.Error):
                session.execute(f"SELECT nothing_{number}")
            session.execute("ROLLBACK TO s")
    assert [error["message"][:16] for error in errors(admin)] == ['column "nothing_' for _ in range(4)]
    assert counts(admin, "x") == (1, 0, 6, 6)
    assert info(admin)["errors_overwritten"] == 2


def test_a_long_message_is_cut_between_characters(admin: Connection, session: Connection) -> None:
    with pytest.raises(psycopg.Error), tagged(session, "x"):
        session.execute("DO $$ BEGIN RAISE '%', repeat('ä', 1000); END $$")
    (error,) = errors(admin)
    assert error["message"] == "ä" * 128


def test_texts_of_another_encoding_can_be_read(admin: Connection, server: Postgres) -> None:
    admin.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'")
    with server.connect(dbname="latin") as session:
        session.execute("SET pg_stat_requests.slow_statement_threshold = 0")
        with pytest.raises(psycopg.Error), tagged(session, "x"):
            session.execute("DO $$ BEGIN RAISE 'größer'; END $$")
    (error,) = errors(admin)
    assert error["message"] == "gr??er"
    assert "RAISE 'gr??er'" in slow(admin)[-1]["text"]
    admin.execute("DROP DATABASE latin")
    assert errors(admin)[0]["database"] is None


def test_the_ring_of_errors_keeps_the_last(admin: Connection, session: Connection) -> None:
    session.execute("SET pg_stat_requests.request_id = 'x'")
    with psycopg.ClientCursor(session) as simple:
        for number in range(1010):
            with pytest.raises(psycopg.Error):
                simple.execute(f"DO $$ BEGIN RAISE 'error {number}'; END $$")
    found = errors(admin)
    assert [error["message"] for error in found] == [f"error {number}" for number in range(10, 1010)]
    told = info(admin)
    assert (told["errors_used"], told["errors_capacity"], told["errors_overwritten"]) == (1000, 1000, 10)
    assert told["errors_complete_since"] < found[0]["time"]
    assert told["errors_complete_since"] > told["stats_reset"]


def test_statements_over_the_threshold_are_kept_with_their_texts(admin: Connection, session: Connection) -> None:
    session.execute("SET pg_stat_requests.slow_statement_threshold = '30ms'")
    with tagged(session, "x"):
        session.execute("SELECT 'quick'")
        session.execute("SELECT pg_sleep(0.04) /* why: it waits */")
        session.execute("SELECT 'quick'")
    session.execute("SET statement_timeout = '50ms'")
    with pytest.raises(psycopg.errors.QueryCanceled), tagged(session, "timed-out"):
        session.execute("SELECT pg_sleep(60)")
    session.execute("RESET statement_timeout")
    session.execute("SELECT pg_sleep(0.04)")  # of no request
    waited, cancelled = slow(admin)
    assert (waited["request_id"], waited["text"]) == ("x", "SELECT pg_sleep(0.04) /* why: it waits */")
    assert waited["duration"] >= 40
    assert (waited["database"], waited["user"], waited["pid"]) == ("postgres", "postgres", session.info.backend_pid)
    assert (cancelled["request_id"], cancelled["text"]) == ("timed-out", "SELECT pg_sleep(60)")
    held = read(admin, "SELECT queryid, max_time FROM pg_stat_requests_statements('x') ORDER BY max_time DESC")
    assert (waited["queryid"], waited["duration"]) == (held[0]["queryid"], pytest.approx(held[0]["max_time"], rel=1e-6))


def test_a_slow_statement_in_steps_is_kept_once_with_its_whole_time(admin: Connection, session: Connection) -> None:
    """Its AFTER trigger runs when the statement itself was slow already."""
    session.execute("CREATE TABLE IF NOT EXISTS slowly (id int)")
    session.execute(
        "CREATE OR REPLACE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_sleep(0.03); RETURN NULL; END $$"
    )
    session.execute("CREATE OR REPLACE TRIGGER slowly AFTER INSERT ON slowly EXECUTE FUNCTION slowly()")
    session.execute("SET pg_stat_requests.slow_statement_threshold = '20ms'")
    with tagged(session, "x"):
        session.execute("INSERT INTO slowly SELECT 1 FROM pg_sleep(0.03)")
    (only,) = slow(admin)
    assert only["duration"] >= 60


def test_the_ring_of_slow_statements_keeps_the_last(admin: Connection, session: Connection) -> None:
    session.execute("SET pg_stat_requests.slow_statement_threshold = 0")
    session.execute("SET pg_stat_requests.request_id = 'x'")
    with psycopg.ClientCursor(session) as simple:
        for number in range(1010):
            simple.execute(f"SELECT {number}")
    found = slow(admin)
    assert [statement["text"] for statement in found] == [f"SELECT {number}" for number in range(10, 1010)]
    told = info(admin)
    assert (told["slow_used"], told["slow_capacity"], told["slow_overwritten"]) == (1000, 1000, 10)
    assert told["stats_reset"] < told["slow_complete_since"] < found[0]["time"]


async def test_a_slow_portal_read_in_batches_is_kept_once_with_its_whole_time(
    admin: Connection, server: Postgres
) -> None:
    session = await asyncpg.connect(server.dsn())
    await session.execute("SET pg_stat_requests.slow_statement_threshold = '20ms'")
    async with session.transaction():
        await session.execute("SET LOCAL pg_stat_requests.request_id = 'x'")
        batches = await session.cursor("SELECT pg_sleep(0.005) FROM generate_series(1, 20)")
        for _ in range(5):
            await batches.fetch(4)
    await session.close()
    (only,) = slow(admin)
    assert only["duration"] >= 100


@pytest.mark.parametrize("threshold", ["-1", "'1h'"])
def test_no_statement_is_slow_below_the_threshold(admin: Connection, session: Connection, threshold: str) -> None:
    session.execute(f"SET pg_stat_requests.slow_statement_threshold = {threshold}")
    with tagged(session, "x"):
        session.execute("SELECT pg_sleep(0.02)")
    assert slow(admin) == []


def test_a_long_text_is_cut(admin: Connection, session: Connection) -> None:
    session.execute("SET pg_stat_requests.slow_statement_threshold = 0")
    with tagged(session, "x"):
        session.execute("SELECT '" + "ä" * 3000 + "'")
    assert slow(admin)[-1]["text"] == "SELECT '" + "ä" * ((1024 - 8) // 2)


def test_others_errors_and_texts_are_hidden(admin: Connection, server: Postgres) -> None:
    admin.execute("ALTER ROLE alice SET pg_stat_requests.slow_statement_threshold = 0")
    admin.execute("ALTER ROLE bob SET pg_stat_requests.slow_statement_threshold = 0")
    with server.connect(user="alice") as alice, server.connect(user="bob") as bob:
        for connection in (alice, bob):
            with pytest.raises(psycopg.errors.DivisionByZero), tagged(connection, "x"):
                connection.execute("SELECT 1 / (id - 1) FROM item")
        for view in ("errors", "slow", "statements"):
            seen = {found["user"] for found in read(alice, f"SELECT * FROM pg_stat_requests_{view}")}
            assert seen == {"alice"}, view
            seen = {found["user"] for found in read(admin, f"SELECT * FROM pg_stat_requests_{view}")}
            assert seen == {"alice", "bob"}, view
        assert {found["user"] for found in read(alice, "SELECT * FROM pg_stat_requests_statements('x')")} == {"alice"}
    for role in ("alice", "bob"):
        admin.execute(f"ALTER ROLE {role} RESET ALL")


def test_reset_of_one_request_forgets_it_alone(admin: Connection, session: Connection, server: Postgres) -> None:
    session.execute("SET pg_stat_requests.slow_statement_threshold = 0")
    for request_id in ("x", "y"):
        with pytest.raises(psycopg.errors.DivisionByZero), tagged(session, request_id):
            session.execute("SELECT 1 / (id - 1) FROM item")
    admin.execute("SELECT pg_stat_requests_reset('x')")
    admin.execute("SELECT pg_stat_requests_reset('not an id')")
    admin.execute("SELECT pg_stat_requests_reset(NULL)")
    assert rows(admin, "x") == []
    assert counts(admin, "y") == (1, 1, 1, 1)
    for found in (errors(admin), slow(admin), read(admin, "SELECT * FROM pg_stat_requests_statements")):
        assert {each["request_id"] for each in found} == {"y"}
    with server.connect(user="alice") as alice, pytest.raises(psycopg.errors.InsufficientPrivilege):
        alice.execute("SELECT pg_stat_requests_reset('y')")


def test_the_requests_that_block_a_request_show(admin: Connection, server: Postgres) -> None:
    with server.connect() as holder, server.connect() as waiter:
        holder_pid = holder.info.backend_pid
        with tagged(holder, "holds"):
            holder.execute("UPDATE item SET name = name WHERE id = 1")

            def wait() -> None:
                with tagged(waiter, "waits"):
                    waiter.execute("UPDATE item SET name = name WHERE id = 1")

            thread = threading.Thread(target=wait)
            thread.start()
            waiting = "SELECT 1 FROM pg_stat_requests_activity WHERE waits_for_lock AND blocked_by = '{holds}'"
            wait_for(lambda: admin.execute(waiting).fetchone() is not None)
            blocked, holding = read(admin, "SELECT * FROM pg_stat_requests_activity ORDER BY request_id DESC")
        thread.join()
    assert (blocked["request_id"], blocked["blocked_by_pids"]) == ("waits", [holder_pid])
    assert blocked["statement_start"] is not None
    assert (holding["request_id"], holding["waits_for_lock"], holding["blocked_by"]) == ("holds", False, [])
    assert holding["blocked_by_pids"] == []
    assert holding["statement_start"] is None
    assert holding["total_time"] > 0


def test_a_blocker_of_no_request_shows_by_its_pid(admin: Connection, server: Postgres) -> None:
    with server.connect() as holder, server.connect() as waiter:
        holder_pid = holder.info.backend_pid
        holder.execute("BEGIN; LOCK item")

        def wait() -> None:
            with tagged(waiter, "waits"):
                waiter.execute("SELECT count(*) FROM item")

        thread = threading.Thread(target=wait)
        thread.start()
        waiting = "SELECT 1 FROM pg_stat_requests_activity WHERE blocked_by_pids <> '{}'"
        wait_for(lambda: admin.execute(waiting).fetchone() is not None)
        (blocked,) = read(admin, "SELECT * FROM pg_stat_requests_activity")
        holder.execute("COMMIT")
        thread.join()
    assert (blocked["blocked_by"], blocked["blocked_by_pids"]) == ([], [holder_pid])


def request_lines(server: Postgres, request_id: str) -> list[dict[str, object]]:
    found = re.findall(r"LOG:  request: (\{.*\})$", server.log.read_text(errors="replace"), re.MULTILINE)
    return [line for line in map(json.loads, found) if line["request_id"] == request_id]


def test_a_long_request_writes_one_line_with_its_numbers(
    admin: Connection, session: Connection, server: Postgres
) -> None:
    session.execute("SET pg_stat_requests.log_min_duration = '20ms'")
    with tagged(session, "log-quick"):
        session.execute("SELECT 1")
    session.execute("SET pg_stat_requests.log_min_duration = 0")
    with tagged(session, "log-long"):
        session.execute("SELECT * FROM item WHERE id <= 3")
        session.execute("SELECT pg_sleep(0.03)")
    with pytest.raises(psycopg.errors.DivisionByZero), tagged(session, "log-failed"):
        session.execute("SELECT 1 / 0")
    (line,) = request_lines(server, "log-long")
    cost = read(admin, "SELECT * FROM pg_stat_requests('log-long')")[0]
    assert line["duration"] == pytest.approx((cost["last_seen"] - cost["first_seen"]).total_seconds() * 1e3)
    for column, value in line.items():
        if column not in ("request_id", "duration"):
            assert value == pytest.approx(cost[column], abs=0.001), column
    assert {"statements", "rows", "plan_time", "wal_bytes", "temp_blks_written", "userid"} < line.keys()
    assert (line["transactions"], line["statements"], line["rows"]) == (1, 2, 4)
    (failed,) = request_lines(server, "log-failed")
    assert (failed["rollbacks"], failed["errors"], failed["last_sqlstate"]) == (1, 1, "22012")
    assert request_lines(server, "log-quick") == []


def test_the_line_is_not_sent_to_the_client(session: Connection, server: Postgres) -> None:
    received: list[str | None] = []
    session.add_notice_handler(lambda notice: received.append(notice.message_primary))
    session.execute("SET client_min_messages = debug1")
    session.execute("SET pg_stat_requests.log_min_duration = 0")
    with tagged(session, "log-unsent"):
        session.execute("SELECT 1")
    assert len(request_lines(server, "log-unsent")) == 1
    assert not any("request:" in (message or "") for message in received)


def test_each_part_of_a_transaction_writes_its_line(session: Connection, server: Postgres) -> None:
    session.execute("SET pg_stat_requests.log_min_duration = 0")
    with tagged(session, "log-first"):
        session.execute("SELECT 1")
        session.execute("SET LOCAL pg_stat_requests.request_id = 'log-second'")
        session.execute("SELECT 2")
    (first,) = request_lines(server, "log-first")
    (second,) = request_lines(server, "log-second")
    assert (first["transactions"], first["statements"]) == (0, 1)
    assert (second["transactions"], second["statements"]) == (1, 1)
