"""The example application with the shipped monitoring in fast motion, and the troubles that can be made in it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from celery import Celery

from devstack.commandcenter import CommandCenter
from devstack.monitoring import Monitoring, alertmanager_configuration
from devstack.node_exporter import NodeExporter
from tests.monitoring.accelerated import faster, faster_route, write_rules
from tests.monitoring.disks import Disks
from tests.monitoring.load import Load
from tests.monitoring.sinks import Sinks

SLACK_PATH = "/slack"
SMTP_PASSWORD = "of-the-mailbox"
WEBHOOK_TOKEN = "of-the-pager"
# The pools of the API may open 30, also when most are taken: the exporter still gets one, and tells.
_SETTINGS: dict[str, str | int] = {"max_connections": 400}
_TAKEN = 0.87
_LOCK_TIMEOUT = """\
SELECT substring(setting FROM '=(.*)') FROM pg_roles, unnest(rolconfig) AS setting
WHERE rolname = 'exporter_user' AND setting LIKE 'lock_timeout=%'
"""
_LOSES_LINES = """
import logging, reqtrail
reqtrail.metrics.open_segment()
reqtrail.logging.setup()
for _ in range(3):
    logging.getLogger().warning("lost")
"""


class Incident:
    """A loaded application, what watches it, and where the alerts arrive."""

    def __init__(self, folder: Path, ends: contextlib.ExitStack) -> None:
        """Start everything; `ends` stops it."""
        self.sinks = ends.enter_context(Sinks())
        self.stack = ends.enter_context(CommandCenter(folder / "stack", postgres_settings=_SETTINGS))
        node_exporter = ends.enter_context(NodeExporter(folder / "node_exporter"))
        self.disks = ends.enter_context(Disks(node_exporter.address, free=0.5))
        self.monitoring = ends.enter_context(
            Monitoring(
                self.stack,
                folder / "monitoring",
                alertmanager=_to_sinks(self.sinks, folder),
                rules=write_rules(folder / "rules"),
                interval="1s",
                node=self.disks.address,
            )
        )
        self.prometheus = self.monitoring.prometheus
        self._hurry_the_exporter()
        self.load = ends.enter_context(Load(self.stack.url))

    def _hurry_the_exporter(self) -> None:
        """Let it wait for a lock in fast motion, too: a wait as long as a scrape may take loses the whole scrape."""
        with self.stack.connect() as admin:
            (shipped,) = admin.execute(_LOCK_TIMEOUT).fetchone() or ("",)
            admin.execute(f"ALTER ROLE exporter_user SET lock_timeout = '{faster(str(shipped))}'")
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'exporter_user'")

    def fail_tasks(self) -> None:
        """Ask for a few syncs of a repository that is not there."""
        app = Celery(broker=self.stack.redis.url, set_as_current=False)
        for _ in range(3):
            app.send_task("commandcenter.sync_repository", args=[99999], queue="celery")
        app.close()

    def lose_log_lines(self) -> None:
        """Another process of the service writes log lines to a disk that is full."""
        with Path("/dev/full").open("w") as full:
            environment = {**os.environ, "REQTRAIL_METRICS_DIR": str(self.stack.directory / "metrics")}
            subprocess.run([sys.executable, "-c", _LOSES_LINES], stdout=full, env=environment, check=True)

    @contextlib.contextmanager
    def failing_updates(self) -> Iterator[None]:
        """A migration went wrong: no sync can be requested any more."""
        with self.stack.connect() as connection:
            connection.execute("ALTER TABLE repositories ADD CONSTRAINT wrong CHECK (syncs_requested < 0) NOT VALID")
            yield
            connection.execute("ALTER TABLE repositories DROP CONSTRAINT wrong")

    @contextlib.contextmanager
    def blocked_table(self) -> Iterator[None]:
        """Somebody locks the table of commits for two seconds, again and again."""
        ended = threading.Event()

        def lock() -> None:
            with self.stack.connect() as connection:
                while not ended.wait(0.1):
                    with connection.transaction():
                        connection.execute("LOCK TABLE commits IN ACCESS EXCLUSIVE MODE")
                        ended.wait(2)

        thread = threading.Thread(target=lock)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    @contextlib.contextmanager
    def many_connections(self) -> Iterator[None]:
        """Somebody opens connections and does not close them."""
        with contextlib.ExitStack() as opened:
            while self._share_of_connections() < _TAKEN:
                opened.enter_context(contextlib.closing(self.stack.connect()))
            yield

    def _share_of_connections(self) -> float:
        with self.stack.connect() as connection:
            limit = "current_setting('max_connections')::int - 3.0"
            query = f"SELECT count(*) / ({limit}) FROM pg_stat_activity WHERE datid > 0"
            [share] = connection.execute(query).fetchone() or (0,)
        return float(str(share))

    @contextlib.contextmanager
    def stopped_worker(self) -> Iterator[None]:
        """The worker ends, and is started again afterwards."""
        self.stack.worker.stop()
        yield
        self.stack.start_worker()

    @contextlib.contextmanager
    def full_disks(self) -> Iterator[None]:
        """Three percent of every disk is free."""
        before, self.disks.free = self.disks.free, 0.03
        yield
        self.disks.free = before


def _to_sinks(sinks: Sinks, folder: Path) -> dict[str, Any]:
    """The shipped configuration of Alertmanager in fast motion, with the sinks' addresses and secrets in files."""
    secrets = {"slack_api_url": sinks.url + SLACK_PATH, "smtp_password": SMTP_PASSWORD, "webhook_token": WEBHOOK_TOKEN}
    for name, secret in secrets.items():
        (folder / name).write_text(secret)
    shipped = alertmanager_configuration()
    given = {
        **shipped["global"],
        "resolve_timeout": faster(shipped["global"]["resolve_timeout"]),
        "slack_api_url_file": str(folder / "slack_api_url"),
        "smtp_smarthost": f"127.0.0.1:{sinks.smtp_port}",
        "smtp_auth_password_file": str(folder / "smtp_password"),
        "smtp_require_tls": False,
    }
    receivers = [{**receiver} for receiver in shipped["receivers"]]
    for receiver in receivers:
        if "webhook_configs" in receiver:
            receiver["webhook_configs"] = [_to_sink(hook, sinks, folder) for hook in receiver["webhook_configs"]]
    return {**shipped, "global": given, "route": faster_route(shipped["route"]), "receivers": receivers}


def _to_sink(hook: dict[str, Any], sinks: Sinks, folder: Path) -> dict[str, Any]:
    credentials = {"authorization": {"credentials_file": str(folder / "webhook_token")}}
    return {**hook, "url": f"{sinks.url}/{hook['url'].rpartition('/')[2]}", "http_config": credentials}
