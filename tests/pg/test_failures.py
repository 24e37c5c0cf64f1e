"""Failed, cancelled and timed-out statements count, whatever ends them."""

import threading

import psycopg
import pytest

from devstack.postgres import Postgres
from tests.pg.requests_view import SET_ID, Connection, counts, fail_twice_in_a_block, info, read, row, tagged, wait_for


def fail_second(session: Connection, first: str, second: str) -> None:
    session.execute(first)
    session.execute(second)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1 / (id - 500) FROM item",  # fails while it runs
        "SELECT 1 / 0",  # fails in planning
        "SELECT nothing FROM item",  # fails in analysis
        "SELEC 1",  # fails in the parser
        "SELECT * FROM pg_stat_requests_no_such_function()",
        "CREATE TABLE item (id int)",  # a utility statement fails
        "INSERT INTO item VALUES (1, 'there already')",
        "DO $$ BEGIN RAISE 'no'; END $$",
    ],
)
def test_a_failed_statement_counts_once(admin: Connection, session: Connection, statement: str) -> None:
    with pytest.raises(psycopg.Error), tagged(session, "x"):
        fail_second(session, "SELECT 1", statement)
    assert counts(admin, "x") == (1, 1, 2, 1)


def test_a_statement_without_permission_counts(admin: Connection, server: Postgres) -> None:
    with (
        server.connect(user="alice") as alice,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
        tagged(alice, "x"),
    ):
        alice.execute("DELETE FROM item")
    assert counts(admin, "x") == (1, 1, 1, 1)


def test_the_time_of_a_failed_statement_counts(admin: Connection, session: Connection) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero), tagged(session, "x"):
        session.execute("SELECT pg_sleep(0.05), 1 / (random() * 0)::int")
    assert row(admin, "x")["max_time"] >= 50


def test_a_statement_timeout_counts(admin: Connection, session: Connection) -> None:
    with pytest.raises(psycopg.errors.QueryCanceled), tagged(session, "x"):
        fail_second(session, "SET LOCAL statement_timeout = '50ms'", "SELECT pg_sleep(10)")
    assert counts(admin, "x") == (1, 1, 2, 1)
    assert 30 <= row(admin, "x")["max_time"] < 5000


def test_a_lock_timeout_counts(admin: Connection, session: Connection, server: Postgres) -> None:
    with server.connect(autocommit=False) as holder:
        holder.execute("LOCK item")
        with pytest.raises(psycopg.errors.LockNotAvailable), tagged(session, "x"):
            fail_second(session, "SET LOCAL lock_timeout = '20ms'", "UPDATE item SET name = '' WHERE id = 1")
    assert counts(admin, "x") == (1, 1, 2, 1)


def busy_pid(admin: Connection, request_id: str) -> int:
    """The pid of the backend that works for the request, once it sleeps in a statement."""
    query = (
        "SELECT pid FROM pg_stat_requests_activity JOIN pg_stat_activity USING (pid)"
        " WHERE request_id = %s AND state = 'active' AND wait_event = 'PgSleep'"
    )
    wait_for(lambda: admin.execute(query, (request_id,)).fetchone() is not None)
    (found,) = read(admin, query, request_id)
    assert isinstance(found["pid"], int)
    return found["pid"]


def sleep_for(server: Postgres, request_id: str, errors: list[psycopg.Error]) -> None:
    try:
        with server.connect() as connection, tagged(connection, request_id):
            connection.execute("SELECT pg_sleep(60)")
    except psycopg.Error as error:
        errors.append(error)


@pytest.mark.parametrize("how", ["pg_cancel_backend", "pg_terminate_backend"])
def test_a_statement_that_somebody_ends_counts(admin: Connection, server: Postgres, how: str) -> None:
    errors: list[psycopg.Error] = []
    sleeper = threading.Thread(target=sleep_for, args=(server, "x", errors))
    sleeper.start()
    pid = busy_pid(admin, "x")
    admin.execute(f"SELECT {how}(%s)", (pid,))
    sleeper.join(10)
    assert len(errors) == 1
    # A terminated backend reports before it has cleaned up.
    wait_for(lambda: admin.execute("SELECT * FROM pg_stat_requests('x')").fetchone() is not None)
    assert counts(admin, "x") == (1, 1, 1, 1)
    assert row(admin, "x")["total_time"] > 0
    assert admin.execute("SELECT count(*) FROM pg_stat_requests_activity").fetchone() == (0,)


def test_a_deadlock_counts_for_its_victim(admin: Connection, server: Postgres) -> None:
    both_hold = threading.Barrier(2)
    victims: list[str] = []

    def update(request_id: str, first: int, second: int) -> None:
        try:
            with server.connect() as connection, tagged(connection, request_id):
                connection.execute("SET LOCAL deadlock_timeout = '50ms'")
                connection.execute("UPDATE item SET name = '' WHERE id = %s", (first,))
                both_hold.wait()
                connection.execute("UPDATE item SET name = '' WHERE id = %s", (second,))
        except psycopg.errors.DeadlockDetected:
            victims.append(request_id)

    threads = [threading.Thread(target=update, args=("a", 1, 2)), threading.Thread(target=update, args=("b", 2, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (victim,) = victims
    (survivor,) = {"a", "b"} - {victim}
    assert counts(admin, victim) == (1, 1, 3, 1)
    assert counts(admin, survivor) == (1, 0, 3, 0)


def test_a_commit_that_fails_is_an_error_but_no_statement(admin: Connection, session: Connection) -> None:
    session.execute("CREATE TABLE IF NOT EXISTS late (id int REFERENCES item DEFERRABLE INITIALLY DEFERRED)")
    session.execute("BEGIN")
    session.execute(SET_ID, ("x",))
    session.execute("INSERT INTO late VALUES (-1)")
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        session.execute("COMMIT")
    assert counts(admin, "x") == (1, 1, 1, 1)


def test_a_commit_that_fails_after_statements_sent_at_once_is_no_statement(
    admin: Connection, session: Connection
) -> None:
    session.execute("CREATE TABLE IF NOT EXISTS late (id int REFERENCES item DEFERRABLE INITIALLY DEFERRED)")
    session.execute("SET pg_stat_requests.request_id = 'x'")
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        session.execute("SELECT 1; INSERT INTO late VALUES (-1)")
    assert counts(admin, "x") == (2, 1, 2, 1)
    with pytest.raises(psycopg.errors.UndefinedColumn):
        session.execute("SELECT 1; SELECT nothing FROM item")
    assert counts(admin, "x") == (3, 2, 4, 2)


@pytest.mark.parametrize(
    "second", [b"SELECT nothing FROM item", b"SELEC 1", b"SELECT 1 / 0", b"INSERT INTO late VALUES (-1)"]
)
def test_each_statement_of_a_failed_pipeline_counts_once(admin: Connection, session: Connection, second: bytes) -> None:
    session.execute("CREATE TABLE IF NOT EXISTS late (id int REFERENCES item DEFERRABLE INITIALLY DEFERRED)")
    session.execute("SET pg_stat_requests.request_id = 'x'")
    pgconn = session.pgconn
    pgconn.enter_pipeline_mode()
    for statement in (b"SELECT 1", second):
        pgconn.send_query_params(statement, None)
    pgconn.pipeline_sync()
    pgconn.flush()
    while (result := pgconn.get_result()) is None or result.status != psycopg.pq.ExecStatus.PIPELINE_SYNC:
        pass
    pgconn.exit_pipeline_mode()
    assert counts(admin, "x") == (2, 1, 2, 1)


def test_a_cursor_that_fails_at_commit_is_no_statement(admin: Connection, session: Connection) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero), tagged(session, "x"):
        session.execute("DECLARE kept CURSOR WITH HOLD FOR SELECT 1 / (id - 500) FROM item")
    assert counts(admin, "x") == (1, 1, 1, 1)


def test_transaction_control_that_is_refused_is_no_statement(admin: Connection, session: Connection) -> None:
    session.execute("BEGIN")
    session.execute(SET_ID, ("x",))
    session.execute("SAVEPOINT here")
    with pytest.raises(psycopg.errors.InvalidSavepointSpecification):
        session.execute("RELEASE nowhere")
    session.execute("ROLLBACK TO here")
    with pytest.raises(psycopg.errors.SyntaxError):  # while a statement still counts
        session.execute("SELEC 1")
    session.execute("ROLLBACK")
    assert counts(admin, "x") == (1, 1, 1, 2)
    session.execute("SET pg_stat_requests.request_id = 'y'")
    with pytest.raises(psycopg.errors.UndefinedObject):
        session.execute("COMMIT PREPARED 'nothing'")
    assert counts(admin, "y") == (2, 1, 0, 1)


def test_a_failed_statement_outside_a_block_is_one_transaction(admin: Connection, session: Connection) -> None:
    session.execute("CREATE TABLE IF NOT EXISTS late (id int REFERENCES item DEFERRABLE INITIALLY DEFERRED)")
    session.execute("SET pg_stat_requests.request_id = 'x'")
    for statement in (b"SELECT 1 / 0", b"SELECT 1 / (id - 500) FROM item", b"INSERT INTO late VALUES (-1)"):
        with pytest.raises(psycopg.Error):
            session.execute(statement)
    # With that of the SET.
    assert counts(admin, "x") == (4, 3, 3, 3)


def test_statements_refused_after_an_error_count_for_a_session_level_id(admin: Connection, session: Connection) -> None:
    session.execute("SET pg_stat_requests.request_id = 'x'")
    session.execute("BEGIN")
    with pytest.raises(psycopg.errors.DivisionByZero):
        session.execute("SELECT 1 / 0")
    with pytest.raises(psycopg.errors.InFailedSqlTransaction):
        session.execute("SELECT 2")
    session.execute("ROLLBACK")
    session.execute("SELECT 3")
    assert counts(admin, "x") == (3, 1, 3, 2)


def test_taking_the_id_away_after_a_failed_block_is_no_transaction_of_it(
    admin: Connection, session: Connection
) -> None:
    session.execute("SET pg_stat_requests.request_id = 'x'")
    fail_twice_in_a_block(session)
    session.execute("ROLLBACK")
    session.execute("RESET pg_stat_requests.request_id")
    assert counts(admin, "x") == (2, 1, 2, 2)


def test_an_error_between_transactions_is_kept_when_the_session_ends(admin: Connection, server: Postgres) -> None:
    with server.connect() as connection:
        connection.execute("SET pg_stat_requests.request_id = 'x'")
        fail_twice_in_a_block(connection)
    wait_for(lambda: admin.execute("SELECT errors FROM pg_stat_requests('x')").fetchone() == (2,))
    assert counts(admin, "x") == (2, 1, 2, 2)


def test_an_error_that_a_function_catches_is_none(admin: Connection, session: Connection) -> None:
    with tagged(session, "x"):
        session.execute("DO $$ BEGIN PERFORM 1 / 0; EXCEPTION WHEN division_by_zero THEN NULL; END $$")
    assert counts(admin, "x") == (1, 0, 1, 0)


def test_the_session_goes_on_after_failures(admin: Connection, session: Connection) -> None:
    for number in range(20):
        with pytest.raises(psycopg.Error), tagged(session, f"failed-{number}"):
            session.execute("SELECT 1 / 0")
        with tagged(session, f"good-{number}"):
            session.execute("SELECT 1")
        assert counts(admin, f"failed-{number}") == (1, 1, 1, 1)
        assert counts(admin, f"good-{number}") == (1, 0, 1, 0)
    assert info(admin)["used"] == 40
