"""A streaming standby: its read-only transactions are recorded, apart from those of its primary."""

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from devstack.postgres import Postgres, sanitizer_environment
from devstack.postgres_tree import bindir
from devstack.process import ServerProcess, free_port
from devstack.unprivileged import make_reachable, remove, server_user
from tests.pg.requests_view import SET_ID, counts, info, read, row, tagged, wait_for


@contextlib.contextmanager
def running(data: Path, log: Path, port: int) -> Iterator[None]:
    """The standby, stopped in good order at the end."""
    standby = ServerProcess(
        [bindir() / "postgres", "-D", data],
        log=log,
        env=sanitizer_environment(),
        user=server_user(),
        cwd=Path("/"),
        stop_signal=signal.SIGINT,
    )
    try:
        ask: list[str | Path] = [bindir() / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
        standby.await_ready(lambda: subprocess.run(ask, check=False).returncode == 0, "the standby")
        yield
    finally:
        standby.stop()


def test_a_standby_records_what_it_reads(tmp_path: Path) -> None:
    given = tmp_path / "standby"
    directory = make_reachable(given)
    data, log, port = directory / "data", directory / "server.log", free_port()
    with Postgres(tmp_path / "primary") as primary, primary.connect() as connection:
        connection.execute("CREATE EXTENSION pg_stat_requests")
        connection.execute("CREATE TABLE item AS SELECT generate_series(1, 100) AS id")
        with tagged(connection, "of-primary"):
            connection.execute("SELECT * FROM item")
        copy: list[str | Path] = [bindir() / "pg_basebackup", "-d", primary.dsn(), "-D", data, "-R", "-c", "fast"]
        assert ServerProcess(copy, log=log, user=server_user(), cwd=Path("/")).wait() == 0
        with (data / "postgresql.conf").open("a") as conf:
            conf.write(f"port = {port}\n")
        address = primary.dsn().replace(str(primary.port), str(port))
        try:
            with running(data, log, port), psycopg.connect(address, autocommit=True) as reader:
                assert read(reader, "SELECT * FROM pg_stat_requests") == []
                with tagged(reader, "x"):
                    reader.execute("SELECT * FROM item")
                with pytest.raises(psycopg.errors.ReadOnlySqlTransaction), tagged(reader, "x"):
                    reader.execute("DELETE FROM item")
                assert counts(reader, "x") == (2, 1, 2, 1)
                assert row(reader, "x")["rows"] == 100
                assert row(reader, "x")["wal_records"] == 0
                assert read(connection, "SELECT * FROM pg_stat_requests('x')") == []
            with running(data, log, port), psycopg.connect(address, autocommit=True) as reader:
                assert counts(reader, "x") == (2, 1, 2, 1), "a clean restart keeps it"
                reader.execute("SELECT pg_stat_requests_reset()")
                assert info(reader)["used"] == 0
                # A reader's session lives on, with its id, when the standby becomes a primary.
                reader.execute("SET pg_stat_requests.request_id = 'promoted'")
                reader.execute("SELECT pg_promote()")
                wait_for(lambda: read(reader, "SELECT pg_is_in_recovery()")[0].popitem()[1] is False)
                reader.execute("BEGIN")
                reader.execute(SET_ID, ("y",))
                reader.execute("DELETE FROM item")
                reader.execute("COMMIT")
                assert row(reader, "y")["rows"] == 100
                assert row(reader, "y")["wal_records"] > 100
        finally:
            text = log.read_text()
            remove(given)
        assert "terminated by signal" not in text
        assert "PANIC" not in text
