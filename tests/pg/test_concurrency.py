"""Many sessions at once: no work is lost or counted twice, and no reader sees half a state."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from devstack.postgres import Postgres
from tests.pg.requests_view import SET_ID, Connection, info, read

SESSIONS = 16
TRANSACTIONS = 150


def run_in_threads(work: Callable[[int], None]) -> None:
    """Call work(0) to work(SESSIONS - 1), each in a thread, and raise what one of them raised."""
    with ThreadPoolExecutor(SESSIONS) as pool:
        for done in [pool.submit(work, number) for number in range(SESSIONS)]:
            done.result()


def transaction(connection: Connection, request_id: str, *, commit: bool = True) -> None:
    with connection.pipeline():
        connection.execute("BEGIN")
        connection.execute(SET_ID, (request_id,))
        connection.execute("SELECT * FROM item WHERE id <= 2")
        connection.execute("SELECT * FROM item WHERE id <= 3")
        connection.execute("COMMIT" if commit else "ROLLBACK")


def test_totals_are_exact_whether_sessions_share_an_id_or_not(admin: Connection, server: Postgres) -> None:
    def work(number: int) -> None:
        with server.connect() as connection:
            for turn in range(TRANSACTIONS):
                transaction(connection, "shared", commit=turn % 3 != 0)
                transaction(connection, f"own-{number}")
                transaction(connection, f"new-{number}-{turn}")

    run_in_threads(work)
    totals = {
        found["kind"]: found
        for found in read(
            admin,
            "SELECT split_part(request_id, '-', 1) AS kind, count(*) AS requests, sum(transactions) AS transactions,"
            " sum(rollbacks) AS rollbacks, sum(statements) AS statements, sum(rows) AS rows"
            " FROM pg_stat_requests GROUP BY 1",
        )
    }
    expected = SESSIONS * TRANSACTIONS
    assert {kind: found["requests"] for kind, found in totals.items()} == {
        "shared": 1,
        "own": SESSIONS,
        "new": expected,
    }
    for kind, found in totals.items():
        assert found["transactions"] == expected, kind
        assert found["statements"] == 2 * expected, kind
        assert found["rows"] == 5 * expected, kind
    assert totals["shared"]["rollbacks"] == SESSIONS * TRANSACTIONS // 3


def test_readers_never_see_half_a_state(admin: Connection, server: Postgres) -> None:
    """The id, the rows and the statements of a transaction belong together, in each look at both views."""
    ids = {number: "abcdefgh"[number % 8] * (1 + number * 8) for number in range(SESSIONS)}
    stop = threading.Event()
    looks = 0

    def work(number: int) -> None:
        with server.connect() as connection:
            while not stop.is_set():
                transaction(connection, ids[number])

    with ThreadPoolExecutor(SESSIONS) as pool:
        workers = [pool.submit(work, number) for number in range(SESSIONS)]
        try:
            for _ in range(300):
                for found in read(admin, "SELECT * FROM pg_stat_requests"):
                    assert found["request_id"] in ids.values()
                    assert found["statements"] == 2 * found["transactions"]
                    assert found["rows"] == 5 * found["transactions"]
                for found in read(admin, "SELECT * FROM pg_stat_requests_activity"):
                    assert found["request_id"] in ids.values()
                    assert 0 <= found["statements"] <= 2
                    assert found["since"] >= found["xact_start"]
                    looks += 1
        finally:
            stop.set()
        for worker in workers:
            worker.result()
    assert looks > 0


def test_views_are_read_and_reset_while_others_write(admin: Connection, server: Postgres) -> None:
    def work(number: int) -> None:
        with server.connect() as connection:
            for turn in range(60):
                transaction(connection, f"id-{number}-{turn % 7}")
                if turn % 10 == number % 10:
                    connection.execute("SELECT pg_stat_requests_reset()")
                    read(connection, "SELECT count(*) FROM pg_stat_requests")

    run_in_threads(work)
    admin.execute("SELECT pg_stat_requests_reset()")
    assert info(admin)["used"] == 0
