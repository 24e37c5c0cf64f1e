"""The example application with everything that watches it, under load, with something of each kind going wrong."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import psycopg
from celery import Celery

from devstack.commandcenter import CommandCenter
from devstack.node_exporter import NodeExporter
from devstack.postgres_exporter import PostgresExporter
from devstack.postgres_tree import REPOSITORY
from devstack.prometheus import Prometheus
from tests.waiting import wait_for

EXPORTER_USER_SQL = REPOSITORY / "sql" / "exporter_user.sql"
SETTINGS: dict[str, str | int] = {
    "shared_preload_libraries": "pg_stat_statements,pg_stat_requests",
    "pg_stat_requests.slow_statement_threshold": "200ms",
    "log_destination": "jsonlog",
    "logging_collector": "on",
    "log_directory": "log",
}
# The costliest first: with 16 clients the slow ones overlap.
_REQUESTS = [
    ("GET", "/api/v1/reports/slow"),
    ("GET", "/api/v1/repositories/commits"),
    ("POST", "/api/v1/repositories/999/sync"),
    ("POST", f"/api/v1/repositories/{2**40}/sync"),  # no number for the database's column: an unhandled error
    *(("POST", f"/api/v1/repositories/{number}/sync") for number in range(1, 9)),
    *(("GET", "/api/v1/repositories") for _ in range(4)),
]
HOLDER, WAITER = "holds-the-lock", "waits-for-the-lock"
MISSING_REPOSITORY = 424_242


class WatchedApplication:
    """The servers, started and stopped together."""

    def __init__(self, directory: Path) -> None:
        """Start everything. Prometheus scrapes each second, under the job names of monitoring/prometheus."""
        self._servers = ExitStack()
        try:
            self._start(directory)
        except BaseException:
            self._servers.close()
            raise

    def _start(self, directory: Path) -> None:
        self.stack = self._servers.enter_context(CommandCenter(directory / "stack", postgres_settings=SETTINGS))
        with self.stack.connect() as admin:
            admin.execute("CREATE EXTENSION pg_stat_statements")
            admin.execute(EXPORTER_USER_SQL.read_bytes())
        self.reader_dsn = self.stack.postgres.dsn("commandcenter", "exporter_user")
        exporter = self._servers.enter_context(PostgresExporter(directory / "exporter", self.reader_dsn))
        node = self._servers.enter_context(NodeExporter(directory / "node"))
        self._targets = {
            "backend": [f"127.0.0.1:{self.stack.api_port}"],
            "celery-worker": [f"127.0.0.1:{self.stack.worker_metrics_port}"],
            "postgres": [exporter.address],
            "node": [node.address],
        }
        self.prometheus = self._servers.enter_context(Prometheus(directory / "prometheus", self._targets))
        self.tasks = Celery(broker=self.stack.redis.url, set_as_current=False)
        self._servers.callback(self.tasks.close)

    def load(self, requests: int = 320) -> None:
        """Send requests of every kind, fail tasks, and take a worker's connection away so that it tries again."""
        # A counter that is there at the first scrape has no rate. Prometheus takes some seconds to know its targets.
        wait_for(lambda: len(self.prometheus.query("up == 1")) == len(self._targets), seconds=60)
        with ThreadPoolExecutor(16) as clients:
            sent = (_REQUESTS[number % len(_REQUESTS)] for number in range(requests))
            answers = list(clients.map(self.send, sent))
        self.finished_id = next(answer.headers["X-Request-ID"] for answer in answers if answer.status_code == 202)
        for _ in range(3):
            self.fail_a_task()
        self._fail_a_statement()
        self._deadlock()
        self._interrupt_a_task()
        with self.stack.connect() as admin:
            admin.execute("ANALYZE")

    def send(self, request: tuple[str, str]) -> httpx.Response:
        """Send one request on a connection of its own: uvicorn closes it behind an unhandled error."""
        method, path = request
        return httpx.request(method, self.stack.url + path, timeout=60)

    def fail_a_task(self, request_id: str | None = None) -> None:
        """Send a task about a repository that is not there, for a request."""
        headers = {"request_id": request_id} if request_id else {}
        self.tasks.send_task("commandcenter.sync_repository", [MISSING_REPOSITORY], headers=headers)

    def _fail_a_statement(self) -> None:
        with self.stack.connect() as connection, suppress(psycopg.errors.DivisionByZero):
            connection.execute("SET pg_stat_requests.request_id = 'divides-by-zero'")
            connection.execute("SELECT 1 / 0")

    def _deadlock(self) -> None:
        """Let two sessions wait for each other, until the server ends one of them."""
        with self.stack.connect() as one, self.stack.connect() as other, ThreadPoolExecutor(2) as pool:
            one.execute("BEGIN; SELECT pg_advisory_xact_lock(1)")
            other.execute("BEGIN; SELECT pg_advisory_xact_lock(2)")
            waits = [
                pool.submit(one.execute, "SELECT pg_advisory_xact_lock(2)"),
                pool.submit(other.execute, "SELECT pg_advisory_xact_lock(1)"),
            ]
            ends = [type(wait.exception()) for wait in waits]
            assert psycopg.errors.DeadlockDetected in ends

    def _interrupt_a_task(self) -> None:
        """Let a task wait for a row, and end its connection meanwhile."""
        end_waiting = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE wait_event_type = 'Lock' AND usename = 'commandcenter'"
        )
        with self.stack.connect() as admin, self.stack.postgres.connect("commandcenter", autocommit=False) as holder:
            holder.execute("UPDATE repositories SET stars = stars WHERE id = 20")
            self.tasks.send_task("commandcenter.sync_repository", [20])
            wait_for(lambda: admin.execute(end_waiting).fetchall() != [], seconds=60)
            holder.rollback()

    def stop(self) -> None:
        """Stop everything and delete PostgreSQL's files.

        Raises:
            AssertionError: PostgreSQL's log tells of a crash.
        """
        self._servers.close()
        fatal_lines = self.stack.postgres.fatal_log_lines()
        self.stack.remove()
        assert fatal_lines == []


class BlockedRequests:
    """Two requests in flight, of which one holds what the other waits for."""

    def __init__(self, stack: CommandCenter) -> None:
        """Begin both; the second one waits until this is left again."""
        self._holder = stack.postgres.connect("commandcenter", autocommit=False)
        self._waiter = stack.postgres.connect("commandcenter", autocommit=False)
        self._tag(self._holder, HOLDER)
        self._holder.execute("UPDATE repositories SET stars = stars WHERE id = 19")
        self._thread = threading.Thread(target=self._wait)
        self._thread.start()
        self._watch = stack.connect()

    @staticmethod
    def _tag(connection: psycopg.Connection[tuple[object, ...]], request_id: str) -> None:
        connection.execute(f"SET LOCAL pg_stat_requests.request_id = '{request_id}'")

    def _wait(self) -> None:
        self._tag(self._waiter, WAITER)
        with suppress(psycopg.errors.QueryCanceled):
            self._waiter.execute("UPDATE repositories SET stars = stars WHERE id = 19")

    def __enter__(self) -> BlockedRequests:
        blocked = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"
        wait_for(lambda: self._watch.execute(blocked, [self._waiter.info.backend_pid]).fetchall() != [], seconds=60)
        return self

    def __exit__(self, *_: object) -> None:
        self._holder.rollback()
        self._thread.join()
        for connection in (self._waiter, self._holder, self._watch):
            connection.close()
