"""A private Alertmanager, alone in its cluster."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from devstack.process import ServerProcess, accepts_connections, free_port


class Alertmanager:
    """An Alertmanager on a free port of 127.0.0.1."""

    def __init__(self, directory: Path, configuration: Mapping[str, object], *, detached: bool = False) -> None:
        """Start it and wait until it answers.

        Args:
            directory: Made if needed; holds its data, configuration and log.
            configuration: What alertmanager.yml says; paths in it are absolute.
            detached: Let it live on when this process ends.

        Raises:
            ServerError: It did not start.
        """
        directory.mkdir(parents=True, exist_ok=True)
        file = directory / "alertmanager.yml"
        file.write_text(json.dumps(configuration))  # JSON is YAML
        self.port = free_port()
        argv: list[str | Path] = [
            "prometheus-alertmanager",
            f"--config.file={file}",
            f"--storage.path={directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            f"--web.external-url={self.url}",
            "--cluster.listen-address=",
        ]
        self.process = ServerProcess(argv, log=directory / "alertmanager.log", detached=detached)
        self.process.await_ready(lambda: accepts_connections(self.port), "alertmanager")

    @property
    def address(self) -> str:
        """Where Prometheus sends its alerts: host:port."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The address of its web interface and API."""
        return f"http://{self.address}"

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts that it holds: each with `labels`, `annotations` and `status`, with what inhibits it."""
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts", timeout=30) as response:  # noqa: S310 - our own server
            held: list[dict[str, Any]] = json.load(response)
        return held

    def stop(self) -> None:
        """Stop it."""
        self.process.stop()

    def __enter__(self) -> Alertmanager:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
