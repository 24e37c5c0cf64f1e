"""The exporter whose metrics the alerts about disks read."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from devstack.process import ServerProcess, accepts_connections, free_port


class NodeExporter:
    """A node_exporter on a free port of 127.0.0.1. It tells of this machine."""

    def __init__(self, directory: Path, *, detached: bool = False) -> None:
        """Start it and wait until it answers.

        Args:
            directory: Made if needed; holds its log.
            detached: Let it live on when this process ends.

        Raises:
            ServerError: It did not start.
        """
        directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        argv: list[str | Path] = ["prometheus-node-exporter", f"--web.listen-address={self.address}"]
        self.process = ServerProcess(argv, log=directory / "node_exporter.log", detached=detached)
        self.process.await_ready(lambda: accepts_connections(self.port), "node_exporter")

    @property
    def address(self) -> str:
        """Where Prometheus scrapes it: host:port."""
        return f"127.0.0.1:{self.port}"

    def stop(self) -> None:
        """Stop it."""
        self.process.stop()

    def __enter__(self) -> NodeExporter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
