"""Faults under load: whatever happens to a backend, the server stays up, goes on counting, and shows no torn row."""

from __future__ import annotations

import contextlib
import functools
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from devstack.postgres import Postgres
from devstack.unprivileged import server_user
from tests.pg.requests_view import SET_ID, Connection, counts, info, read, tagged, wait_for

PATIENCE = 60


def prepare(server: Postgres) -> None:
    with server.connect() as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_requests")
        connection.execute("CREATE TABLE item AS SELECT generate_series(1, 100) AS id")


def whole(row: dict[str, object]) -> bool:
    """Whether a row of `writing` is one state: each of its transactions has 2 statements and 5 rows, and no error."""
    n = row["transactions"]
    assert isinstance(n, int)
    return (row["statements"], row["rows"], row["errors"]) == (2 * n, 5 * n, 0)


def write(connection: Connection, request_id: str) -> None:
    with connection.pipeline():
        connection.execute("BEGIN")
        connection.execute(SET_ID, (request_id,))
        connection.execute("SELECT * FROM item WHERE id <= 2")
        connection.execute("SELECT * FROM item WHERE id <= 3")
        connection.execute("COMMIT")


@contextlib.contextmanager
def writing(server: Postgres, sessions: int, ids: Callable[[int, int], str]) -> Iterator[None]:
    """Meanwhile, `sessions` sessions write without a pause for ids(session, turn), and come back when they are lost."""
    stop = threading.Event()

    def work(number: int) -> None:
        turn = 0
        while not stop.is_set():
            with contextlib.suppress(psycopg.OperationalError), server.connect() as connection:
                while not stop.is_set():
                    write(connection, ids(number, turn))
                    turn += 1

    with ThreadPoolExecutor(sessions) as pool:
        workers = [pool.submit(work, number) for number in range(sessions)]
        try:
            yield
        finally:
            stop.set()
        for worker in workers:
            worker.result()


def answers(server: Postgres) -> bool:
    try:
        with server.connect() as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


def has_restarted(server: Postgres, times: int) -> bool:
    return server.log.read_text().count("all server processes terminated; reinitializing") >= times


def has_work_of_many(server: Postgres) -> bool:
    with server.connect() as connection:
        used: int = info(connection)["used"]
        return used > 100


def backends(server: Postgres) -> list[int]:
    """Process ids of the client sessions, but for the one that asks."""
    with contextlib.suppress(psycopg.OperationalError), server.connect() as connection:
        query = (
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            " AND datname IS NOT NULL"
        )
        return [found["pid"] for found in read(connection, query)]
    return []


@pytest.mark.usefixtures("crashes")
def test_backends_killed_in_the_middle_of_their_work_leave_a_working_server(tmp_path: Path) -> None:
    """kill -9 at random moments under load, so at some point within a flush: each time the server restarts empty."""
    chance = random.Random(20261124)
    with Postgres(tmp_path / "server", settings={"max_connections": 30, "pg_stat_requests.max": 128}) as server:
        prepare(server)
        with writing(server, 8, lambda number, turn: f"{number}-{turn % 50}"):
            for kill in range(8):
                wait_for(lambda: len(backends(server)) >= 4, PATIENCE)
                time.sleep(chance.random() / 10)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(chance.choice(backends(server) or [0]), signal.SIGKILL)
                wait_for(functools.partial(has_restarted, server, kill + 1), PATIENCE)
                wait_for(functools.partial(answers, server), PATIENCE)
        with server.connect() as connection:
            assert all(whole(row) for row in read(connection, "SELECT * FROM pg_stat_requests"))
            with tagged(connection, "after"):
                connection.execute("SELECT 1")
            assert counts(connection, "after") == (1, 0, 1, 0)
            wait_for(lambda: read(connection, "SELECT * FROM pg_stat_requests_activity") == [], PATIENCE)


def test_an_immediate_shutdown_under_load_recovers(tmp_path: Path) -> None:
    with Postgres(tmp_path / "server") as server:
        prepare(server)
        for _ in range(3):
            with writing(server, 8, lambda number, turn: f"{number}-{turn}"):
                wait_for(functools.partial(has_work_of_many, server), PATIENCE)
                server.crash()
                server.start()
            with server.connect() as connection:
                assert all(whole(row) for row in read(connection, "SELECT * FROM pg_stat_requests"))


def test_refused_connections_disturb_nothing(tmp_path: Path) -> None:
    with Postgres(tmp_path / "server", settings={"max_connections": 8, "superuser_reserved_connections": 1}) as server:
        prepare(server)
        with contextlib.ExitStack() as stack:
            held = [stack.enter_context(server.connect()) for _ in range(8)]
            for _ in range(20):
                with pytest.raises(psycopg.OperationalError, match="too many clients"):
                    server.connect()
            for number, connection in enumerate(held):
                write(connection, f"held-{number}")
            assert info(held[0])["used"] == 8
        wait_for(lambda: answers(server), PATIENCE)
        with server.connect() as connection:
            assert all(whole(row) for row in read(connection, "SELECT * FROM pg_stat_requests"))


def test_statement_and_lock_timeouts_count_as_errors_of_their_request(
    admin: Connection, session: Connection, server: Postgres
) -> None:
    session.execute("SET statement_timeout = '100ms'")
    with pytest.raises(psycopg.errors.QueryCanceled), tagged(session, "slow"):
        session.execute("SELECT pg_sleep(60)")
    session.execute("RESET statement_timeout")
    session.execute("SET lock_timeout = '50ms'")
    assert counts(admin, "slow") == (1, 1, 1, 1)
    with server.connect() as holder, holder.transaction():
        holder.execute("LOCK item IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(psycopg.errors.LockNotAvailable), tagged(session, "blocked"):
            session.execute("SELECT * FROM item")
    assert counts(admin, "blocked") == (1, 1, 1, 1)


def test_of_a_deadlock_one_request_fails_and_the_other_goes_on(admin: Connection, server: Postgres) -> None:
    both_hold_one = threading.Barrier(2)

    def work(first: int, second: int) -> bool:
        with server.connect() as connection:
            connection.execute("SET deadlock_timeout = '100ms'")
            try:
                with tagged(connection, f"first-{first}"):
                    connection.execute("SELECT pg_advisory_xact_lock(%s)", (first,))
                    both_hold_one.wait(PATIENCE)
                    connection.execute("SELECT pg_advisory_xact_lock(%s)", (second,))
            except psycopg.errors.DeadlockDetected:
                return False
            return True

    with ThreadPoolExecutor(2) as pool:
        went = dict(zip((1, 2), pool.map(work, (1, 2), (2, 1)), strict=True))
    assert sorted(went.values()) == [False, True]
    for first, fine in went.items():
        assert counts(admin, f"first-{first}") == ((1, 0, 2, 0) if fine else (1, 1, 2, 1))


def test_out_of_memory_is_an_error_like_any_other(admin: Connection, session: Connection, server: Postgres) -> None:
    """A statement that asks for too much fails; its log line, made without memory to spare, does no harm."""
    for number in range(5):
        with pytest.raises(psycopg.errors.Error), tagged(session, f"memory-{number}"):
            session.execute("SELECT repeat(repeat('x', 1000000), 1100)")
        assert counts(admin, f"memory-{number}") == (1, 1, 1, 1)
        with tagged(session, f"fine-{number}"):
            session.execute("SELECT 1")
        assert counts(admin, f"fine-{number}") == (1, 0, 1, 0)


def test_a_small_work_mem_and_no_more_room_for_temporary_files_fail_only_their_statement(
    admin: Connection, session: Connection
) -> None:
    session.execute("SET work_mem = '64kB'")
    with tagged(session, "spilled"):
        session.execute("SELECT count(*) FROM (SELECT g FROM generate_series(1, 100000) g ORDER BY -g) AS sorted")
    session.execute("SET temp_file_limit = '128kB'")
    with pytest.raises(psycopg.errors.ConfigurationLimitExceeded), tagged(session, "refused"):
        session.execute("SELECT count(*) FROM (SELECT g FROM generate_series(1, 100000) g ORDER BY -g) AS sorted")
    assert counts(admin, "spilled") == (1, 0, 1, 0)
    assert counts(admin, "refused") == (1, 1, 1, 1)


def test_a_backend_without_any_memory_left_fails_its_statement_and_lives(
    admin: Connection, session: Connection
) -> None:
    """The system refuses memory to one backend while it logs and counts its failure."""
    pid = session.info.backend_pid
    status = Path(f"/proc/{pid}/status").read_text()
    (size,) = [int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmSize:")]
    user = server_user()
    identity = [] if user is None else ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--"]
    subprocess.run([*identity, "prlimit", f"--pid={pid}", f"--as={size + 1_000_000}:"], check=True)
    for number in range(3):
        with pytest.raises(psycopg.errors.OutOfMemory), tagged(session, f"no-memory-{number}"):
            session.execute("SELECT array_agg(repeat('x', 1000) || i) FROM generate_series(1, 1000000) i")
        assert counts(admin, f"no-memory-{number}") == (1, 1, 1, 1)
    with tagged(session, "small"):
        session.execute("SELECT 1")
    assert counts(admin, "small") == (1, 0, 1, 0)


def test_two_hundred_sessions_write_while_views_are_read_and_reset(tmp_path: Path) -> None:
    sessions = 200
    settings: dict[str, str | int] = {"max_connections": sessions + 20, "pg_stat_requests.max": 512}
    looks = 0
    with Postgres(tmp_path / "server", settings=settings) as server:
        prepare(server)
        with server.connect() as reader, writing(server, sessions, lambda number, turn: f"{number % 50}-{turn % 40}"):
            wait_for(lambda: len(backends(server)) >= sessions, PATIENCE)
            for turn in range(60):
                rows = read(reader, "SELECT * FROM pg_stat_requests")
                assert [row for row in rows if not whole(row)] == []
                looks += len(rows)
                read(reader, "SELECT * FROM pg_stat_requests_activity")
                assert all(whole(row) for row in read(reader, "SELECT * FROM pg_stat_requests('7-7')"))
                if turn % 10 == 9:
                    reader.execute("SELECT pg_stat_requests_reset()")
        assert looks > 60


def resident_kilobytes(pid: int) -> int:
    """Memory of a process that is its own (not shared)."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith(("Private_", "Pss_Anon")))


def test_a_million_ids_take_no_more_memory_than_the_first(tmp_path: Path) -> None:
    """In one backend, each in a transaction of its own."""
    millionth = 1_000_000
    settings: dict[str, str | int] = {"pg_stat_requests.max": 5000}
    with (
        Postgres(tmp_path / "server", settings=settings) as server,
        server.connect() as connection,
        server.connect() as observer,
    ):
        connection.execute("CREATE EXTENSION pg_stat_requests")
        connection.execute(
            "CREATE PROCEDURE ids(first int, last int) LANGUAGE plpgsql AS $$ BEGIN FOR i IN first..last LOOP"
            " PERFORM set_config('pg_stat_requests.request_id', 'id-' || i, true); COMMIT; END LOOP; END $$"
        )
        connection.execute("CALL ids(1, 20000)")
        before, shared = resident_kilobytes(connection.info.backend_pid), info(observer)["memory_bytes"]
        connection.execute("CALL ids(20001, %s)", (millionth,))
        after = resident_kilobytes(connection.info.backend_pid)
        told = info(observer)
        assert told["memory_bytes"] == shared
        assert told["used"] <= 5000
        assert told["overwritten"] >= millionth - 2 * 5000
        assert after - before < 1024, f"{before} kB grew to {after} kB"


def peak_kilobytes(pid: int) -> int:
    """The most memory that a process ever had."""
    (peak,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmPeak"))
    return int(peak.split()[1])


def test_reading_all_rows_takes_memory_for_one_shard_at_a_time(tmp_path: Path) -> None:
    # Twice the ids: they spread over the shards by their hash, and none may be full.
    settings: dict[str, str | int] = {"pg_stat_requests.max": 50000, "work_mem": "64kB"}
    with Postgres(tmp_path / "server", settings=settings) as server, server.connect() as connection:
        connection.execute("CREATE EXTENSION pg_stat_requests")
        connection.execute(
            "DO $$ BEGIN FOR i IN 1..25000 LOOP"
            " PERFORM set_config('pg_stat_requests.request_id', 'id-' || i, true); COMMIT; END LOOP; END $$"
        )
        with server.connect() as reader:
            reader.execute("SELECT * FROM pg_stat_requests('id-1')").fetchall()
            before = peak_kilobytes(reader.info.backend_pid)
            assert reader.execute("SELECT count(*) FROM pg_stat_requests").fetchone() == (25000,)
            after = peak_kilobytes(reader.info.backend_pid)
        assert after - before < 4096, f"{before} kB grew to {after} kB"
