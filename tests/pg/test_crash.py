"""After a crash the server starts again, and the extension with nothing in it works."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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


@contextlib.contextmanager
def debugger(pid: int, *commands: str) -> Iterator[subprocess.Popen[str]]:
    """gdb on a backend that it lets run until the backend is about to merge its work; then it obeys `commands`."""
    script = ["set pagination off", "break reqtrail::ring::Merge", "continue", *commands]
    arguments = ["gdb", "-q", "-batch", "-nx", "-p", str(pid)]
    for command in script:
        arguments += ["-ex", command]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        assert any(line.startswith("Breakpoint 1 at") for line in process.stdout), "gdb could not attach"
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.usefixtures("crashes")
@pytest.mark.parametrize("instructions", [20, 100, 300])
def test_a_backend_killed_in_the_middle_of_its_flush_leaves_an_empty_working_extension(
    tmp_path: Path, instructions: int
) -> None:
    with Postgres(tmp_path / "server", settings={"pg_stat_requests.max": 128}) as server:
        with server.connect() as connection:
            connection.execute("CREATE EXTENSION pg_stat_requests")
            for i in range(300):
                with tagged(connection, f"earlier-{i}"):
                    connection.execute("SELECT 1")
        with server.connect() as victim, ThreadPoolExecutor(1) as pool:
            begin(victim)
            into_the_lock = ("break LWLockAcquire", "continue", "finish", "break LWLockRelease")
            onwards = (f"stepi {instructions}", "kill")
            with debugger(victim.info.backend_pid, *into_the_lock, *onwards) as gdb:
                commit = pool.submit(victim.execute, "COMMIT")
                said = gdb.communicate(timeout=120)[0]
            with pytest.raises(psycopg.OperationalError):
                commit.result()
        assert "in LWLockAcquire" in said, said
        assert "in LWLockRelease" not in said, said  # it died with the lock
        wait_for(lambda: "all server processes terminated" in server.log.read_text())
        wait_for(lambda: answers(server))
        assert_starts_empty_and_works(server)


def test_an_immediate_shutdown_leaves_an_empty_working_extension(tmp_path: Path) -> None:
    with Postgres(tmp_path / "server") as server:
        connection = server.connect()
        connection.execute("CREATE EXTENSION pg_stat_requests")
        with tagged(connection, "before"):
            connection.execute("SELECT 1")
        begin(connection)
        server.crash()
        connection.close()
        server.start()
        assert_starts_empty_and_works(server)
        server.stop()
        assert server.fatal_log_lines() == []
