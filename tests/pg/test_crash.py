"""After a crash the server starts again, and the extension with nothing in it works."""

import os
import signal
from pathlib import Path

import psycopg
import pytest

from devstack.postgres import Postgres
from tests.pg.requests_view import SET_ID, Connection, counts, read, tagged, wait_for


def answers(server: Postgres) -> bool:
    try:
        with server.connect() as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


def assert_starts_empty_and_works(server: Postgres) -> None:
    with server.connect() as connection:
        assert read(connection, "SELECT * FROM pg_stat_requests") == []
        assert read(connection, "SELECT * FROM pg_stat_requests_activity") == []
        with tagged(connection, "after"):
            connection.execute("SELECT 1")
        assert counts(connection, "after") == (1, 0, 1, 0)


def begin(connection: Connection) -> int:
    connection.execute("BEGIN")
    connection.execute(SET_ID, ("before",))
    connection.execute("SELECT 1")
    return connection.info.backend_pid


@pytest.mark.usefixtures("crashes")
def test_a_killed_backend_leaves_an_empty_working_extension(tmp_path: Path) -> None:
    with Postgres(tmp_path / "server") as server:
        with server.connect() as connection:
            connection.execute("CREATE EXTENSION pg_stat_requests")
            with tagged(connection, "before"):
                connection.execute("SELECT 1")
            victim = server.connect()
            os.kill(begin(victim), signal.SIGKILL)
            victim.close()
            connection.close()
        wait_for(lambda: any("all server processes terminated" in line for line in server.log.read_text().splitlines()))
        wait_for(lambda: answers(server))
        assert_starts_empty_and_works(server)
        assert [line for line in server.fatal_log_lines() if "PANIC" in line] == []


def test_an_immediate_shutdown_leaves_an_empty_working_extension(tmp_path: Path) -> None:
    with Postgres(tmp_path / "server") as server:
        connection = server.connect()
        connection.execute("CREATE EXTENSION pg_stat_requests")
        begin(connection)
        server.crash()
        connection.close()
        server.start()
        assert_starts_empty_and_works(server)
        server.stop()
        assert server.fatal_log_lines() == []
