"""What the row of a request must be when transactions end in each way, and when the id changes."""

import time

import psycopg
import pytest

from devstack.postgres import Postgres
from tests.pg.requests_view import SET_ID, Connection, counts, read, row, tagged


def test_a_rollback_counts_as_transaction_and_rollback(admin: Connection, session: Connection) -> None:
    session.execute("BEGIN")
    session.execute(SET_ID, ("x",))
    session.execute("UPDATE item SET name = 'y' WHERE id = 1")
    session.execute("ROLLBACK")
    assert counts(admin, "x") == (1, 1, 1, 0)
    assert row(admin, "x")["wal_records"] > 0


def test_a_transaction_with_an_id_and_no_statement_counts(admin: Connection, session: Connection) -> None:
    with tagged(session, "x"):
        pass
    assert counts(admin, "x") == (1, 0, 0, 0)


def test_transactions_of_one_id_add_up(admin: Connection, session: Connection) -> None:
    for number in range(5):
        with tagged(session, "x"):
            session.execute("SELECT * FROM item WHERE id <= %s", (number,))
    assert counts(admin, "x") == (5, 0, 5, 0)
    assert row(admin, "x")["rows"] == 0 + 1 + 2 + 3 + 4


def test_savepoints_are_no_statements_and_work_in_them_counts(admin: Connection, session: Connection) -> None:
    with tagged(session, "x"):
        session.execute("SELECT 1")
        session.execute("SAVEPOINT s")
        session.execute("SELECT 2")
        session.execute("ROLLBACK TO s")
        session.execute("SELECT 3")
        session.execute("RELEASE s")
    assert counts(admin, "x") == (1, 0, 3, 0)


def test_an_error_in_a_savepoint_does_not_end_the_transaction(admin: Connection, session: Connection) -> None:
    with tagged(session, "x"):
        session.execute("SAVEPOINT s")
        with pytest.raises(psycopg.errors.DivisionByZero):
            session.execute("SELECT 1 / (id - 1) FROM item")
        session.execute("ROLLBACK TO s")
        session.execute("SELECT 1")
    assert counts(admin, "x") == (1, 0, 2, 1)


def test_an_id_set_in_a_savepoint_goes_with_it(admin: Connection, session: Connection) -> None:
    with tagged(session, "outer"):
        session.execute("SELECT 1")
        session.execute("SAVEPOINT s")
        session.execute("SET LOCAL pg_stat_requests.request_id = 'inner'")
        session.execute("SELECT 2")
        session.execute("ROLLBACK TO s")
        session.execute("SELECT 3")
    assert counts(admin, "outer") == (1, 0, 2, 0)
    assert counts(admin, "inner") == (1, 0, 1, 0)


def test_two_phase_commit_counts_at_prepare(admin: Connection, session: Connection) -> None:
    session.execute("BEGIN")
    session.execute(SET_ID, ("x",))
    session.execute("UPDATE item SET name = 'z' WHERE id = 1")
    session.execute("PREPARE TRANSACTION 'two-phase'")
    assert counts(admin, "x") == (1, 0, 1, 0)
    session.execute("COMMIT PREPARED 'two-phase'")
    assert counts(admin, "x") == (1, 0, 1, 0)


def test_a_procedure_that_commits_is_one_statement_in_several_transactions(
    admin: Connection, session: Connection
) -> None:
    session.execute(
        "CREATE OR REPLACE PROCEDURE stages() LANGUAGE plpgsql AS"
        " $$ BEGIN FOR i IN 1..3 LOOP PERFORM count(*) FROM item; PERFORM pg_sleep(0.02); COMMIT; END LOOP;"
        " PERFORM 1; ROLLBACK; PERFORM 1; END $$"
    )
    session.execute("SET pg_stat_requests.request_id = 'x'")
    session.execute("SELECT pg_stat_requests_reset()")
    session.execute("CALL stages()")
    session.execute("RESET pg_stat_requests.request_id")
    cost = row(admin, "x")
    # One more transaction: that of the SELECT which called reset, which ended after it.
    assert (cost["statements"], cost["transactions"], cost["rollbacks"]) == (2, 1 + 3 + 1 + 1, 1)
    assert cost["max_time"] >= 60
    assert cost["errors"] == 0


def test_a_session_level_id_stays(admin: Connection, session: Connection) -> None:
    session.execute("SET pg_stat_requests.request_id = 'x'")
    session.execute("SELECT 1")
    session.execute("BEGIN; SELECT 2; SELECT 3; COMMIT")
    session.execute("BEGIN")
    session.execute("COMMIT")
    session.execute("RESET pg_stat_requests.request_id")
    session.execute("SELECT 4")
    # The SET's own transaction is the first of the four.
    assert counts(admin, "x") == (4, 0, 3, 0)


def test_notifications_that_an_idle_session_takes_are_no_transactions_of_its_id(
    admin: Connection, session: Connection
) -> None:
    session.execute("SET pg_stat_requests.request_id = 'x'")
    session.execute("LISTEN news")
    for number in range(3):
        admin.execute(f"NOTIFY news, '{number}'")
        (taken,) = session.notifies(timeout=60, stop_after=1)
        assert taken.payload == str(number)
    assert counts(admin, "x") == (2, 0, 1, 0)
    time.sleep(1)
    session.execute("ROLLBACK")  # of nothing: that it ends, no commit of the server's own began
    assert row(admin, "x")["idle_in_transaction_time"] < 1000


def test_a_local_id_takes_the_place_of_the_sessions_and_gives_it_back(admin: Connection, session: Connection) -> None:
    session.execute("SET pg_stat_requests.request_id = 'lasting'")
    session.execute("BEGIN; SET LOCAL pg_stat_requests.request_id = 'local'; SELECT 1; COMMIT")
    session.execute("SELECT 2")
    assert counts(admin, "local") == (1, 0, 1, 0)
    assert counts(admin, "lasting") == (2, 0, 1, 0)


def test_each_id_of_a_transaction_gets_its_part(admin: Connection, session: Connection) -> None:
    session.execute("CREATE TABLE IF NOT EXISTS parts (id int)")
    with tagged(session, "first"):
        session.execute("SELECT * FROM item WHERE id <= 3")
        session.execute(SET_ID, ("second",))
        session.execute("INSERT INTO parts SELECT generate_series(1, 100)")
    # The statement that changes the id started under the first.
    assert counts(admin, "first") == (1, 0, 2, 0)
    assert counts(admin, "second") == (1, 0, 1, 0)
    assert row(admin, "first")["wal_records"] < 100 <= row(admin, "second")["wal_records"]
    assert (row(admin, "first")["rows"], row(admin, "second")["rows"]) == (4, 100)


def test_an_id_that_comes_back_counts_its_transaction_once(admin: Connection, session: Connection) -> None:
    session.execute("BEGIN")
    for request_id in ("a", "b", "a", "b", "a"):
        session.execute(f"SET LOCAL pg_stat_requests.request_id = '{request_id}'")
        session.execute("SELECT 1")
    session.execute("ROLLBACK")
    assert counts(admin, "a") == (1, 1, 3, 0)
    assert counts(admin, "b") == (1, 1, 2, 0)


def test_work_of_many_ids_in_one_transaction_is_all_recorded(admin: Connection, session: Connection) -> None:
    session.execute("BEGIN")
    for number in range(50):
        session.execute(f"SET LOCAL pg_stat_requests.request_id = 'many-{number}'")
        session.execute("SELECT 1")
    session.execute("COMMIT")
    for number in range(50):
        assert counts(admin, f"many-{number}") == (1, 0, 1, 0)


def test_the_earlier_part_is_visible_before_the_transaction_ends(admin: Connection, session: Connection) -> None:
    with tagged(session, "first"):
        session.execute("SELECT 1")
        session.execute("SET LOCAL pg_stat_requests.request_id = 'second'")
        session.execute("SELECT 1")
        assert counts(admin, "first") == (0, 0, 1, 0)
    assert counts(admin, "first") == (1, 0, 1, 0)


def test_taking_the_id_away_ends_its_part(admin: Connection, session: Connection) -> None:
    with tagged(session, "x"):
        session.execute("SELECT 1")
        session.execute("SET LOCAL pg_stat_requests.request_id = ''")
        session.execute("SELECT 2")
    assert counts(admin, "x") == (1, 0, 1, 0)
    assert [found["request_id"] for found in read(admin, "SELECT request_id FROM pg_stat_requests")] == ["x"]


@pytest.mark.parametrize("command", ["DISCARD ALL", "RESET ALL"])
def test_a_pool_that_resets_its_session_takes_the_id_away(admin: Connection, session: Connection, command: str) -> None:
    session.execute("SET pg_stat_requests.request_id = 'x'")
    session.execute(command)
    session.execute("SELECT 1")
    assert counts(admin, "x")[2] == 1


def test_an_id_of_the_role_applies_from_the_start(admin: Connection, server: Postgres) -> None:
    admin.execute("ALTER ROLE bob SET pg_stat_requests.request_id = 'of-the-role'")
    with server.connect(user="bob") as bob:
        bob.execute("SELECT 1")
    admin.execute("ALTER ROLE bob RESET pg_stat_requests.request_id")
    assert counts(admin, "of-the-role") == (1, 0, 1, 0)


def test_an_id_of_the_connection_applies_from_the_start(admin: Connection, server: Postgres) -> None:
    options = "-c pg_stat_requests.request_id=of-the-connection"
    with psycopg.connect(server.dsn(), options=options, autocommit=True) as connection:
        connection.execute("SELECT 1")
    assert counts(admin, "of-the-connection") == (1, 0, 1, 0)
