"""A private PostgreSQL with the extension preloaded."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import psycopg

from devstack.postgres_tree import TREE, bindir
from devstack.process import ServerError, ServerProcess, free_port
from devstack.unprivileged import make_reachable, remove, server_user

_FATAL_SIGNS = re.compile(r"^.*(terminated by signal|PANIC|AddressSanitizer|runtime error:).*$", re.MULTILINE)
_SETTINGS: dict[str, str | int] = {
    "shared_preload_libraries": "pg_stat_requests",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "max_connections": 100,
    "max_prepared_transactions": 10,
    "log_line_prefix": "%m [%p] ",
}


# All that this process made, in their order.
_servers: list[Postgres] = []


def servers() -> Sequence[Postgres]:
    """Every server that this process made, the removed ones included."""
    return _servers


def sanitizer_environment() -> dict[str, str]:
    """What a server needs whose extension was built with sanitizers: REQTRAIL_PG_PRELOAD names their library."""
    preload = os.environ.get("REQTRAIL_PG_PRELOAD")
    if preload is None:
        return {}
    # The server itself frees little of what it has allocated when a process ends.
    return {
        "LD_PRELOAD": preload,
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1",
        "UBSAN_OPTIONS": "abort_on_error=1",
    }


class Postgres:
    """A cluster of its own on a free port of 127.0.0.1, superuser `postgres`, every local connection trusted."""

    def __init__(
        self,
        directory: Path,
        *,
        settings: Mapping[str, str | int] | None = None,
        detached: bool = False,
        wrapper: Sequence[str] = (),
        tree: Path = TREE,
    ) -> None:
        """Initialise the cluster in `directory` (which is replaced) and start it.

        Args:
            directory: Where its files go.
            settings: Settings for postgresql.conf, over the defaults of this module.
            detached: Let the server live on when this process ends.
            wrapper: A command that runs the server, such as valgrind with its options.
            tree: The installation that it is of.

        Raises:
            ServerError: It did not start; the message carries the end of the server log.
        """
        self._given = directory
        self._directory = make_reachable(directory)
        self._detached = detached
        self._wrapper = wrapper
        self._programs = bindir(tree)
        self.data = self._directory / "data"
        self.log = self._directory / "server.log"
        self.port = free_port()
        self._removed_log: str | None = None
        _servers.append(self)
        self._initialise({**_SETTINGS, "port": self.port, **(settings or {})})
        self.start()

    def _initialise(self, settings: Mapping[str, str | int]) -> None:
        initdb: list[str | Path] = [
            self._programs / "initdb",
            "-D",
            self.data,
            "-U",
            "postgres",
            "-A",
            "trust",
            "-N",
            "-E",
            "UTF8",
            "--locale=C",
        ]
        ended = ServerProcess(initdb, log=self.log, user=server_user(), cwd=Path("/"))
        try:
            status = ended.wait()
        finally:
            ended.stop()
        if status != 0:
            raise ServerError(f"initdb failed\n{ended.log_tail()}")
        self.configure(settings)

    def configure(self, settings: Mapping[str, str | int]) -> None:
        """Append settings to postgresql.conf; they count from the next start or reload on."""
        with (self.data / "postgresql.conf").open("a") as conf:
            for name, value in settings.items():
                quoted = str(value).replace("'", "''")
                conf.write(f"{name} = '{quoted}'\n")

    def start(self) -> None:
        """Start the server and wait until it takes connections.

        Raises:
            ServerError: It did not start.
        """
        self.process = ServerProcess(
            [*self._wrapper, self._programs / "postgres", "-D", self.data],
            log=self.log,
            user=server_user(),
            cwd=Path("/"),
            env=sanitizer_environment(),
            detached=self._detached,
            stop_signal=signal.SIGINT,
        )
        self.process.await_ready(self._answers, "postgres")

    def _answers(self) -> bool:
        ask: list[str | Path] = [self._programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(ask, check=False).returncode == 0

    def stop(self) -> None:
        """Stop it (fast shutdown)."""
        self.process.stop()

    def crash(self) -> None:
        """Stop it at once, without a checkpoint (immediate shutdown): the next start recovers."""
        os.kill(self.process.pid, signal.SIGQUIT)
        self.process.wait()

    def restart(self) -> None:
        """Stop it and start it again on the same port."""
        self.stop()
        self.start()

    def dsn(self, dbname: str = "postgres", user: str = "postgres") -> str:
        """The address as a libpq URL."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{dbname}"

    def connect(
        self, dbname: str = "postgres", user: str = "postgres", *, autocommit: bool = True
    ) -> psycopg.Connection[tuple[object, ...]]:
        """A new psycopg connection."""
        return psycopg.connect(self.dsn(dbname, user), autocommit=autocommit)

    def fatal_log_lines(self) -> list[str]:
        """Lines of the server log that tell of a crashed backend, a PANIC or what a sanitizer found."""
        return [found.group(0) for found in _FATAL_SIGNS.finditer(self._log_text())]

    def _log_text(self) -> str:
        if self._removed_log is not None:
            return self._removed_log
        collected = sorted((self.data / "log").glob("*")) if (self.data / "log").exists() else []
        return "".join(path.read_text(errors="replace") for path in [self.log, *collected] if path.exists())

    def remove(self) -> None:
        """Stop the server and delete its files. What it logged can still be asked for."""
        self.stop()
        self._removed_log = self._log_text()
        remove(self._given)

    def __enter__(self) -> Postgres:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()
