"""`reqtrail top`: what is in flight and what was costly, once and live."""

from __future__ import annotations

import os
import pty
import select
import signal
import time
from collections.abc import Callable

import httpx

from devstack.process import free_port
from tests.cli.command import Command, Done
from tests.cli.conftest import Site


def test_requests_in_flight_with_whom_they_wait_for(site: Site, run_until: Callable[..., Done]) -> None:
    with site.stack.postgres.connect("commandcenter", autocommit=False) as holder:
        holder.execute("SET LOCAL pg_stat_requests.request_id = 'top-holder'")
        holder.execute("SELECT FROM repositories WHERE id = 11 FOR UPDATE")
        with site.stack.postgres.connect("commandcenter", autocommit=False) as waiter:
            waiter.execute("SET LOCAL pg_stat_requests.request_id = 'top-waiter'")
            waiter.pgconn.send_query(b"SELECT FROM repositories WHERE id = 11 FOR UPDATE")

            def waits(done: Done) -> bool:
                return any(backend["blocked_by"] == ["top-holder"] for backend in done.json["in_flight"])

            seen = run_until(waits, "top", "--dsn", site.dsn, "--once", "--json").json
            by_id = {backend["request_id"]: backend for backend in seen["in_flight"]}
            assert by_id["top-holder"]["blocked_by"] == []
            assert by_id["top-holder"]["state"] == "idle in transaction"
            assert by_id["top-waiter"]["query"] == "SELECT FROM repositories WHERE id = 11 FOR UPDATE"
            text = run_until(lambda done: "lock of top-holder" in done.out, "top", "--dsn", site.dsn, "--once").out
            assert "1 waiting for a lock" in text
            holder.rollback()
            while waiter.pgconn.get_result() is not None:
                pass


def test_the_costliest_requests_of_the_window(site: Site, client: httpx.Client, run_until: Callable[..., Done]) -> None:
    slow = client.get("/api/v1/reports/slow").headers["X-Request-ID"]
    many = client.get("/api/v1/repositories/commits").headers["X-Request-ID"]

    def ids(done: Done) -> list[str]:
        return [row["request_id"] for row in done.json["costliest"]]

    by_time = run_until(lambda done: slow in ids(done), "top", "--dsn", site.dsn, "--json", "--limit", "1000").json
    times = [row["total_time"] for row in by_time["costliest"]]
    assert times == sorted(times, reverse=True)
    by_statements = run_until(lambda done: many in ids(done), "top", "--dsn", site.dsn, "--by", "statements", "--json")
    assert by_statements.json["costliest"][0]["statements"] >= 21
    # The same server given twice counts once.
    twice = run_until(lambda done: slow in ids(done), "top", *("--dsn", site.dsn) * 2, "--json", "--limit", "1000")
    assert len(ids(twice)) == len(set(ids(twice)))


def test_one_server_that_is_down_hides_nothing_of_the_others(site: Site, run: Command) -> None:
    down = f"postgresql://me:secret@127.0.0.1:{free_port()}/x"
    both = run("top", "--dsn", site.dsn, "--dsn", down, "--once")
    assert both.code == 0
    assert "Connection refused" in both.out
    assert "secret" not in both.out
    alone = run("top", "--dsn", down, "--once", "--json")
    assert alone.code == 3
    assert list(alone.json["failures"]) == [down.partition("@")[2]]


def test_live_on_a_terminal_until_it_is_interrupted(site: Site, run: Command) -> None:
    terminal, end = pty.openpty()
    live = run.start("top", "--dsn", site.dsn, "--interval", "0.1", stdout=end, stderr=end)
    os.close(end)
    written = b""
    deadline = time.monotonic() + 60
    while written.count(b"in flight") < 3:
        assert time.monotonic() < deadline, written
        if select.select([terminal], [], [], 1)[0]:
            written += os.read(terminal, 65536)
    live.send_signal(signal.SIGINT)
    while select.select([terminal], [], [], 30)[0]:
        try:
            written += os.read(terminal, 65536)
        except OSError:  # the other end is closed
            break
    os.close(terminal)
    assert live.wait(60) == 0
    assert b"\x1b[?1049h" in written  # it draws on a screen of its own, and gives the old one back
    assert b"\x1b[?1049l" in written
    assert b"Traceback" not in written
