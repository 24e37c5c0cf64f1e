"""One running example application for all tests of the command, with everything to look at that a server can have."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from devstack.alertmanager import Alertmanager
from devstack.commandcenter import CommandCenter
from devstack.postgres_tree import REPOSITORY
from devstack.prometheus import Prometheus
from tests.cli.command import Command, Done

_SERVER_SETTINGS: dict[str, str | int] = {
    "shared_preload_libraries": "pg_stat_requests,pg_stat_statements",
    "logging_collector": "on",
    "log_destination": "stderr,csvlog,jsonlog",
    "log_filename": "postgresql.log",
    "log_file_mode": "0644",
    "log_lock_waits": "on",
    "deadlock_timeout": "100ms",
    "log_min_duration_statement": "100ms",
}


_ALERT_ROUTE = {
    "route": {"receiver": "somebody"},
    "receivers": [{"name": "somebody", "webhook_configs": [{"url": "http://127.0.0.1:9/"}]}],
}


def _scrapes(stack: CommandCenter, alertmanager: Alertmanager) -> dict[str, object]:
    return {
        "global": {"scrape_interval": "1s"},
        "rule_files": [str(REPOSITORY / "monitoring/prometheus/rules/*.yml")],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager.address]}]}]},
        "scrape_configs": [{"job_name": "api", "static_configs": [{"targets": [f"127.0.0.1:{stack.api_port}"]}]}],
    }


@dataclass(frozen=True)
class Site:
    """The example application, a Prometheus that scrapes it, with the project's rules, and an Alertmanager."""

    stack: CommandCenter
    prometheus: Prometheus
    alertmanager: Alertmanager

    @property
    def dsn(self) -> str:
        return self.stack.postgres.dsn("commandcenter")

    def server_log(self, kind: str) -> Path:
        """The server's log as "log" (text), "csv" or "json"."""
        return self.stack.postgres.data / "log" / f"postgresql.{kind}"

    @property
    def application_logs(self) -> list[str]:
        """The options that name the logs of API and worker."""
        return ["--logs", str(self.stack.directory / "*.log")]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("cli")
    with CommandCenter(folder / "stack") as stack:
        stack.postgres.configure(_SERVER_SETTINGS)
        stack.postgres.restart()
        with stack.connect() as connection:
            connection.execute("CREATE EXTENSION pg_stat_statements")
        with (
            Alertmanager(folder / "alertmanager", _ALERT_ROUTE) as alertmanager,
            Prometheus(folder / "prometheus", configuration=_scrapes(stack, alertmanager)) as prometheus,
        ):
            yield Site(stack, prometheus, alertmanager)
        stack.stop()
        fatal_lines = stack.postgres.fatal_log_lines()
        stack.remove()
        assert fatal_lines == []


@pytest.fixture
def client(site: Site) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=site.stack.url, timeout=60) as connected:
        yield connected


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Runs the command in an empty folder of its own."""
    return Command(tmp_path, monkeypatch, capfd)


@pytest.fixture
def run_until(run: Command) -> Callable[..., Done]:
    """Runs the command until what it prints is so: log lines and scrapes come a moment after the answer."""

    def repeat(happened: Callable[[Done], bool], *arguments: str | Path) -> Done:
        deadline = time.monotonic() + 60
        while not happened(done := run(*arguments)):
            assert time.monotonic() < deadline, (done.code, done.out[-3000:], done.err)
            time.sleep(0.05)
        return done

    return repeat
