"""What watches the example application: the project's own Prometheus and Alertmanager files, on private servers."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from devstack.alertmanager import Alertmanager
from devstack.commandcenter import CommandCenter
from devstack.node_exporter import NodeExporter
from devstack.postgres_exporter import PROGRAM as POSTGRES_EXPORTER
from devstack.postgres_exporter import PostgresExporter
from devstack.postgres_tree import REPOSITORY
from devstack.process import free_port
from devstack.prometheus import Prometheus

_SHIPPED = REPOSITORY / "monitoring"
RULES = _SHIPPED / "prometheus" / "rules"
_PROGRAMS = ("prometheus", "prometheus-alertmanager", "prometheus-node-exporter", str(POSTGRES_EXPORTER))


def missing_programs() -> list[str]:
    """The programs that `Monitoring` starts and that are not installed."""
    return [program for program in _PROGRAMS if shutil.which(program) is None]


def alertmanager_configuration() -> Any:
    """The shipped configuration, with the paths of its templates made absolute."""
    folder = _SHIPPED / "alertmanager"
    shipped = yaml.safe_load((folder / "alertmanager.yml").read_text())
    return {**shipped, "templates": [str(folder / pattern) for pattern in shipped["templates"]]}


def without_receivers(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """The same configuration, but that nothing is sent: alerts are to be seen in Alertmanager only."""
    silent = [{"name": receiver["name"]} for receiver in configuration["receivers"]]
    return {**configuration, "global": {}, "receivers": silent}


class Monitoring:
    """Exporters, Prometheus and Alertmanager beside a running application."""

    def __init__(
        self,
        stack: CommandCenter,
        directory: Path,
        *,
        alertmanager: Mapping[str, Any] | None = None,
        rules: Path = RULES,
        interval: str = "15s",
        node: str | None = None,
        detached: bool = False,
    ) -> None:
        """Start everything and wait until each part answers.

        Args:
            stack: The application.
            directory: Where the files of these servers go.
            alertmanager: What alertmanager.yml says; by default the shipped configuration without receivers.
            rules: The folder of the rules.
            interval: How often Prometheus scrapes and evaluates.
            node: Where node metrics are scraped (host:port); by default at a node_exporter of this machine.
            detached: Let the servers live on when this process ends.

        Raises:
            FileNotFoundError: postgres_exporter is not built.
            ServerError: A server did not start; all that were started are stopped again.
        """
        self._started: list[PostgresExporter | NodeExporter | Alertmanager | Prometheus] = []
        try:
            self._start(stack, directory, alertmanager, rules, interval, node, detached)
        except BaseException:
            self.stop()
            raise

    def _start(
        self,
        stack: CommandCenter,
        directory: Path,
        alertmanager: Mapping[str, Any] | None,
        rules: Path,
        interval: str,
        node: str | None,
        detached: bool,
    ) -> None:
        with stack.connect() as admin:
            admin.execute((REPOSITORY / "sql" / "exporter_user.sql").read_bytes())
        database = stack.postgres.dsn(stack.database, "exporter_user")
        self.postgres_exporter = PostgresExporter(directory / "postgres_exporter", database, detached=detached)
        self._started.append(self.postgres_exporter)
        if node is None:
            node_exporter = NodeExporter(directory / "node_exporter", detached=detached)
            self._started.append(node_exporter)
            node = node_exporter.address
        sends = alertmanager or without_receivers(alertmanager_configuration())
        self.alertmanager = Alertmanager(directory / "alertmanager", sends, detached=detached)
        self._started.append(self.alertmanager)
        port = free_port()
        targets = {
            "backend": [f"127.0.0.1:{stack.api_port}"],
            "celery-worker": [f"127.0.0.1:{stack.worker_metrics_port}"],
            "postgres": [self.postgres_exporter.address],
            "node": [node],
            "prometheus": [f"127.0.0.1:{port}"],
        }
        self.prometheus = Prometheus(
            directory / "prometheus",
            configuration=_prometheus_configuration(targets, self.alertmanager.address, rules, interval, port),
            options=[f"--web.user-assets={REPOSITORY / 'docs'}"],
            port=port,
            detached=detached,
        )
        self._started.append(self.prometheus)

    def pids(self) -> dict[str, int]:
        """The process id of each server, in the order in which they are to be stopped."""
        return {type(server).__name__: server.process.pid for server in reversed(self._started)}

    def stop(self) -> None:
        """Stop everything, the last started first. The logs stay."""
        for server in reversed(self._started):
            server.stop()

    def __enter__(self) -> Monitoring:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _prometheus_configuration(
    targets: Mapping[str, Sequence[str]], alertmanager: str, rules: Path, interval: str, port: int
) -> dict[str, Any]:
    """The shipped configuration with other addresses. `targets` has to name each of its jobs."""
    shipped = yaml.safe_load((_SHIPPED / "prometheus" / "prometheus.yml").read_text())
    timing = {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval}
    links = {**shipped["global"]["external_labels"], "runbooks_url": f"http://127.0.0.1:{port}/user/runbooks"}
    jobs = [
        {**job, "static_configs": [{"targets": list(targets[job["job_name"]])}]} for job in shipped["scrape_configs"]
    ]
    alerting = {**shipped["alerting"], "alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
    return {
        **shipped,
        "global": {**shipped["global"], **timing, "external_labels": links},
        "rule_files": [str(rules / "*.yml")],
        "alerting": alerting,
        "scrape_configs": jobs,
    }
