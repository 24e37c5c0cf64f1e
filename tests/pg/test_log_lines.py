"""Lines of the server log carry the request id, in every format, and clients never see it."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from devstack.postgres import Postgres
from tests.pg.requests_view import SET_ID, Connection, force_parallel, tagged, wait_for

ID = "4f1c2b6e-8d0a-4f7e-9b1a-000000000001"
FORMATS = ("stderr", "csvlog", "jsonlog")
# Of the CSV format: the place of the message and of the detail.
CSV_MESSAGE, CSV_DETAIL = 13, 14


class Log:
    """The messages that a server logs, with their details ("" for none)."""

    def __init__(self, server: Postgres, form: str) -> None:
        self._folder = server.data / "log"
        self._form = form
        self._seen = 0

    def lines(self) -> list[tuple[str, str]]:
        """All of them, as (message, detail)."""
        ending = {"stderr": "log", "csvlog": "csv", "jsonlog": "json"}[self._form]
        text = "".join(path.read_text() for path in sorted(self._folder.glob(f"*.{ending}")))
        if self._form == "csvlog":
            return [(row[CSV_MESSAGE], row[CSV_DETAIL]) for row in csv.reader(text.splitlines(keepends=True))]
        if self._form == "jsonlog":
            entries = [json.loads(line) for line in text.splitlines()]
            return [(entry["message"], entry.get("detail", "")) for entry in entries]
        found: list[tuple[str, str]] = []
        for kind, rest in re.findall(r"^\S+ \S+ \S+ \[\d+\] (\w+):  (.*(?:\n\t.*)*)", text, re.MULTILINE):
            if kind == "DETAIL":
                found[-1] = (found[-1][0], rest.replace("\n\t", "\n"))
            elif kind not in ("STATEMENT", "HINT", "CONTEXT", "LOCATION"):
                found.append((rest.replace("\n\t", "\n"), ""))
        return found

    def detail_of(self, message: str) -> str:
        """The detail of the newest line whose message contains `message`; waits until there is one."""
        found: list[str] = []

        def look() -> bool:
            lines = self.lines()
            found[:] = [detail for said, detail in lines[self._seen :] if message in said]
            return bool(found)

        wait_for(look, seconds=60)
        return found[-1]

    def forget(self) -> None:
        """Look at nothing that has been written so far."""
        self._seen = len(self.lines())


@contextmanager
def logging_server(directory: Path, form: str, **more: str | int) -> Iterator[tuple[Postgres, Log]]:
    settings: dict[str, str | int] = {
        "shared_preload_libraries": "pg_stat_requests, auto_explain",
        "logging_collector": "on",
        "log_destination": form,
        "auto_explain.log_min_duration": -1,
        **more,
    }
    with Postgres(directory / "server", settings=settings) as server:
        with server.connect() as connection:
            connection.execute("CREATE EXTENSION pg_stat_requests")
            connection.execute("CREATE TABLE item (id int PRIMARY KEY)")
            connection.execute("CREATE TABLE late (id int REFERENCES item DEFERRABLE INITIALLY DEFERRED)")
            connection.execute("INSERT INTO item VALUES (1)")
        yield server, Log(server, form)
        server.stop()
        text = "".join(path.read_text() for path in (server.data / "log").iterdir())
        assert "terminated by signal" not in text
        assert "PANIC" not in text
        assert server.fatal_log_lines() == []


@pytest.fixture(scope="module", params=FORMATS)
def logged(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Postgres, Log]]:
    with logging_server(tmp_path_factory.mktemp("log"), request.param) as running:
        yield running


@pytest.fixture
def log(logged: tuple[Postgres, Log]) -> Log:
    logged[1].forget()
    return logged[1]


@pytest.fixture
def told() -> list[str]:
    """All that the server told the session's client outside of results."""
    return []


@pytest.fixture
def session(logged: tuple[Postgres, Log], told: list[str]) -> Iterator[Connection]:
    with logged[0].connect() as connection:
        connection.execute("SET client_min_messages = debug1")

        def keep(notice: psycopg.errors.Diagnostic) -> None:
            told.append(f"{notice.message_primary}|{notice.message_detail}|{notice.message_hint}|{notice.context}")

        connection.add_notice_handler(keep)
        yield connection
    assert not any(f"request_id: {ID}" in text for text in told)


def all_of(error: psycopg.Error) -> str:
    """All that the client was told of an error."""
    return f"{error.diag.message_primary}|{error.diag.message_detail}|{error.diag.message_hint}|{error.diag.context}"


def test_an_error_carries_the_id_and_the_client_is_not_told(session: Connection, log: Log) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero) as failed, tagged(session, ID):
        session.execute("SELECT 1 / 0")
    assert log.detail_of("division by zero") == f"request_id: {ID}"
    assert ID not in all_of(failed.value)


def test_the_detail_that_a_line_has_stays_and_goes_to_the_client_alone(session: Connection, log: Log) -> None:
    with pytest.raises(psycopg.errors.UniqueViolation) as failed, tagged(session, ID):
        session.execute("INSERT INTO item VALUES (1)")
    assert failed.value.diag.message_detail == "Key (id)=(1) already exists."
    assert log.detail_of("violates unique constraint") == f"Key (id)=(1) already exists.\nrequest_id: {ID}"
    assert ID not in all_of(failed.value)


def test_a_detail_for_the_log_only_stays(logged: tuple[Postgres, Log], session: Connection, log: Log) -> None:
    """A deadlock: the server logs more about it than it tells the client."""
    with logged[0].connect() as other:
        for connection in (session, other):
            connection.execute("SET deadlock_timeout = '50ms'")
            connection.execute("BEGIN")
            connection.execute(SET_ID, (ID,))
        session.execute("SELECT pg_advisory_xact_lock(1)")
        other.execute("SELECT pg_advisory_xact_lock(2)")
        other.pgconn.send_query(b"SELECT pg_advisory_xact_lock(1)")
        failed = ""
        try:
            session.execute("SELECT pg_advisory_xact_lock(2)")
        except psycopg.errors.DeadlockDetected as error:
            failed = all_of(error)
        session.execute("ROLLBACK")
        while (result := other.pgconn.get_result()) is not None:
            failed += str(result.error_message)
        assert "deadlock" in failed
        assert ID not in failed
    detail = log.detail_of("deadlock detected")
    assert "SELECT pg_advisory_xact_lock" in detail
    assert detail.endswith(f"\nrequest_id: {ID}")


def test_errors_that_never_started_carry_the_id_of_their_comment(session: Connection, log: Log) -> None:
    for number, statement in enumerate(("SELEC 1 /* request_id: {} */", "/* request_id: {} */ SELECT nothing")):
        with pytest.raises(psycopg.Error):
            session.execute(statement.format(f"{ID}-{number}"))
    assert log.detail_of("syntax error") == f"request_id: {ID}-0"
    assert log.detail_of('column "nothing" does not exist') == f"request_id: {ID}-1"


def test_slow_statements_carry_the_id_also_when_their_transaction_has_ended(session: Connection, log: Log) -> None:
    session.execute("SET log_min_duration_statement = 0")
    with tagged(session, ID):
        session.execute("SELECT 'in a block'")
    assert log.detail_of("SELECT 'in a block'") == f"request_id: {ID}"
    session.execute("SELECT 'by a comment' /* request_id: x */")
    assert log.detail_of("SELECT 'by a comment'") == "request_id: x"
    with psycopg.ClientCursor(session) as simple:
        simple.execute(f"BEGIN; SET LOCAL pg_stat_requests.request_id = '{ID}'; SELECT 'one message'; COMMIT")
        assert log.detail_of("SELECT 'one message'") == f"request_id: {ID}"
        simple.execute("SELECT 'untagged'")
    assert log.detail_of("SELECT 'untagged'") == ""
    session.execute("SELECT %s::text", ("a parameter",))
    assert "a parameter" in log.detail_of("execute <unnamed>: SELECT $1::text")


def test_plans_of_auto_explain_carry_the_id(session: Connection, log: Log) -> None:
    session.execute("SET auto_explain.log_min_duration = 0")
    with tagged(session, ID):
        session.execute("SELECT * FROM item")
    assert log.detail_of("Seq Scan on item") == f"request_id: {ID}"


def test_lines_after_the_abort_began_carry_the_id(session: Connection, log: Log) -> None:
    session.execute("BEGIN")
    session.execute(SET_ID, (ID,))
    with pytest.raises(psycopg.errors.DivisionByZero):
        session.execute("SELECT 1 / 0")
    with pytest.raises(psycopg.errors.InFailedSqlTransaction) as failed:
        session.execute("SELECT 1")
    session.execute("ROLLBACK")
    assert log.detail_of("current transaction is aborted") == f"request_id: {ID}"
    assert ID not in all_of(failed.value)
    with pytest.raises(psycopg.Error):
        session.execute("SELECT no_more")
    assert log.detail_of("no_more") == ""


def test_a_failing_commit_and_its_duration_carry_the_id(session: Connection, log: Log) -> None:
    with pytest.raises(psycopg.errors.ForeignKeyViolation), tagged(session, ID):
        session.execute("INSERT INTO late VALUES (-1)")
    assert log.detail_of("violates foreign key").endswith(f"\nrequest_id: {ID}")
    session.execute("SET log_min_duration_statement = 0")
    with tagged(session, ID):
        session.execute("SELECT 1")
    assert log.detail_of("COMMIT") == f"request_id: {ID}"


def test_lines_of_parallel_workers_carry_the_id(session: Connection, log: Log) -> None:
    force_parallel(session)
    with pytest.raises(psycopg.errors.DivisionByZero) as failed, tagged(session, ID):
        session.execute("SELECT 1 / (id - 1) FROM item")
    wait_for(lambda: any("division by zero" in message for message, _ in log.lines()), seconds=60)
    assert log.detail_of("division by zero") == f"request_id: {ID}"
    assert ID not in all_of(failed.value)


def test_notices_and_many_lines_carry_the_id_and_leave_no_memory_behind(
    session: Connection, log: Log, told: list[str]
) -> None:
    session.execute("SET log_min_messages = notice")
    used = "SELECT sum(total_bytes) FROM pg_backend_memory_contexts WHERE name = 'ErrorContext'"
    before = session.execute(used).fetchone()
    with tagged(session, ID):
        session.execute(
            "DO $$ BEGIN FOR i IN 1..3000 LOOP"
            " RAISE NOTICE 'noted %', i USING DETAIL = repeat('d', 1000); END LOOP; END $$"
        )
    assert len([text for text in told if text.startswith("noted")]) == 3000
    detail = log.detail_of("noted 3000")
    assert detail.endswith(f"d\nrequest_id: {ID}")
    assert session.execute(used).fetchone() == before


def test_log_request_id_off_adds_nothing(session: Connection, log: Log) -> None:
    session.execute("SET pg_stat_requests.log_request_id = off")
    with pytest.raises(psycopg.errors.DivisionByZero), tagged(session, ID):
        session.execute("SELECT 1 / 0")
    assert log.detail_of("division by zero") == ""


def test_only_superusers_may_keep_the_id_out_of_the_log(logged: tuple[Postgres, Log]) -> None:
    with logged[0].connect() as admin:
        admin.execute("DROP ROLE IF EXISTS app")
        admin.execute("CREATE ROLE app LOGIN")
    with logged[0].connect(user="app") as app, pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute("SET pg_stat_requests.log_request_id = off")


def test_processes_that_are_no_backends_log_as_ever(tmp_path: Path) -> None:
    """An id in the configuration file reaches the checkpointer and the postmaster too: they work for no request."""
    with logging_server(tmp_path, "jsonlog", **{"pg_stat_requests.request_id": ID, "log_checkpoints": "on"}) as (
        server,
        log,
    ):
        with server.connect() as connection:
            connection.execute("CHECKPOINT")
            with pytest.raises(psycopg.errors.DivisionByZero):
                connection.execute("SELECT 1 / 0")
        assert log.detail_of("division by zero") == f"request_id: {ID}"
        assert log.detail_of("checkpoint complete") == ""
