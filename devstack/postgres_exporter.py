"""The exporter whose metrics the alerts and dashboards about PostgreSQL read."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from devstack.postgres_tree import REPOSITORY
from devstack.process import ServerProcess, accepts_connections, free_port

PROGRAM = REPOSITORY / "build" / "go" / "postgres_exporter"
# One argument a line, for the container too: the program reads them from a file that is named behind an @.
_COLLECTORS = REPOSITORY / "monitoring" / "prometheus" / "postgres_exporter.args"


class PostgresExporter:
    """A postgres_exporter on a free port of 127.0.0.1, with the collectors that the project's rules need."""

    def __init__(self, directory: Path, dsn: str, *, detached: bool = False) -> None:
        """Start it and wait until it answers.

        Args:
            directory: Made if needed; holds its log.
            dsn: The database, as a URL; its user needs pg_monitor.
            detached: Let it live on when this process ends.

        Raises:
            FileNotFoundError: The program is not built.
            ServerError: It did not start.
        """
        if not PROGRAM.exists():
            raise FileNotFoundError(f"no {PROGRAM}: run `make exporter`")
        directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        argv: list[str | Path] = [
            PROGRAM,
            f"@{_COLLECTORS}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]
        source = f"{dsn}?sslmode=disable"
        self.process = ServerProcess(
            argv,
            log=directory / "postgres_exporter.log",
            env={"DATA_SOURCE_NAME": source},
            cwd=directory,
            detached=detached,
        )
        self.process.await_ready(lambda: accepts_connections(self.port), "postgres_exporter")

    @property
    def address(self) -> str:
        """Where Prometheus scrapes it: host:port."""
        return f"127.0.0.1:{self.port}"

    def stop(self) -> None:
        """Stop it."""
        self.process.stop()

    def __enter__(self) -> PostgresExporter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
