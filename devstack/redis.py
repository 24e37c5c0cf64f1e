"""A private Redis."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from devstack.process import ServerProcess, accepts_connections, free_port


class Redis:
    """A Redis server in memory only, on a free port of 127.0.0.1."""

    def __init__(self, directory: Path, *, detached: bool = False) -> None:
        """Start it and wait until it answers. `directory` (made if needed) holds its log.

        Raises:
            ServerError: It did not start.
        """
        directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self._directory = directory
        self._detached = detached
        self.start()

    def start(self) -> None:
        """Start it, empty, and wait until it answers.

        Raises:
            ServerError: It did not start.
        """
        argv: list[str | Path] = [
            "redis-server",
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            self._directory,
        ]
        self.process = ServerProcess(argv, log=self._directory / "redis.log", detached=self._detached)
        self.process.await_ready(lambda: accepts_connections(self.port), "redis-server")

    @property
    def url(self) -> str:
        """The address as a URL: redis://127.0.0.1:port/0."""
        return f"redis://127.0.0.1:{self.port}/0"

    def stop(self) -> None:
        """Stop it."""
        self.process.stop()

    def restart(self) -> None:
        """Stop it and start it again on the same port; what it held is gone."""
        self.stop()
        self.start()

    def __enter__(self) -> Redis:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
