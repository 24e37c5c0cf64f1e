"""The example application on private servers: PostgreSQL, Redis, uvicorn workers and a Celery worker."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import psycopg

from devstack.postgres import Postgres
from devstack.postgres_tree import REPOSITORY
from devstack.process import ServerProcess, accepts_connections, free_port
from devstack.redis import Redis

API_WORKERS = 2
TASK_WORKERS = 2
_DATABASE = "commandcenter"


class CommandCenter:
    """All servers of the example, started on free ports of 127.0.0.1 with their files in one folder."""

    def __init__(
        self, directory: Path, *, postgres_settings: Mapping[str, str | int] | None = None, detached: bool = False
    ) -> None:
        """Start everything and wait until each part answers.

        Args:
            directory: Replaced; holds all files.
            postgres_settings: Settings of the server, over the defaults of `Postgres`.
            detached: Let the servers live on when this process ends.

        Raises:
            ServerError: A server did not start; all that were started are stopped again.
        """
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        self.directory = directory.resolve()
        self._postgres_settings = postgres_settings
        self._detached = detached
        self._started: list[Postgres | Redis | ServerProcess] = []
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        settings = self._postgres_settings
        self.postgres = Postgres(self.directory / "postgres", settings=settings, detached=self._detached)
        self._started.append(self.postgres)
        self.redis = Redis(self.directory / "redis", detached=self._detached)
        self._started.append(self.redis)
        self.api_port = free_port()
        self.worker_metrics_port = free_port()
        self._create_database()
        app = "examples.commandcenter.api:app"
        self.api = self._python("api", "uvicorn", app, "--port", str(self.api_port), "--workers", str(API_WORKERS))
        self.start_worker()
        self.api.await_ready(lambda: accepts_connections(self.api_port), "uvicorn")
        self.worker.await_ready(lambda: " ready." in self.worker.log_text(), "the Celery worker")

    def start_worker(self) -> None:
        """Start the Celery worker; again, when the one before has ended. It goes on with the log of that one."""
        celery_app = "examples.commandcenter.worker"
        concurrency = f"--concurrency={TASK_WORKERS}"
        self.worker = self._python("worker", "celery", "-A", celery_app, "worker", concurrency, "--loglevel=INFO")

    def _create_database(self) -> None:
        with self.postgres.connect() as connection:
            connection.execute(f"CREATE ROLE {_DATABASE} LOGIN")
            connection.execute(f"CREATE DATABASE {_DATABASE} OWNER {_DATABASE}")
        with self.connect() as connection:
            connection.execute("CREATE EXTENSION pg_stat_requests")
        filled = self._python("models", "examples.commandcenter.models")
        if filled.wait() != 0:
            raise RuntimeError(f"the tables could not be made\n{filled.log_tail()}")

    def _python(self, name: str, module: str, *arguments: str) -> ServerProcess:
        process = ServerProcess(
            [sys.executable, "-m", module, *arguments],
            log=self.log(name),
            env=self._environment(),
            cwd=REPOSITORY,
            detached=self._detached,
        )
        self._started.append(process)
        return process

    def _environment(self) -> dict[str, str]:
        return {
            "COMMANDCENTER_DATABASE": f"{_DATABASE}@127.0.0.1:{self.postgres.port}/{_DATABASE}",
            "COMMANDCENTER_BROKER_URL": self.redis.url,
            "REQTRAIL_METRICS_DIR": str(self.directory / "metrics"),
            "REQTRAIL_METRICS_PORT": str(self.worker_metrics_port),  # only a Celery worker listens there
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PATH": os.environ["PATH"],
        }

    @property
    def database(self) -> str:
        """The name of the application's database."""
        return _DATABASE

    @property
    def url(self) -> str:
        """The address of the API."""
        return f"http://127.0.0.1:{self.api_port}"

    def log(self, name: str) -> Path:
        """The log file of "api" or "worker"."""
        return self.directory / f"{name}.log"

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        """A connection to the application's database as superuser."""
        return self.postgres.connect(_DATABASE)

    def pids(self) -> dict[str, int]:
        """The process id of each server, in the order in which they are to be stopped."""
        servers = {"worker": self.worker, "api": self.api}
        return {name: server.pid for name, server in servers.items()} | {
            "redis": self.redis.process.pid,
            "postgres": self.postgres.process.pid,
        }

    def stop(self) -> None:
        """Stop everything, the last started first. The logs stay."""
        for server in reversed(self._started):
            server.stop()

    def remove(self) -> None:
        """Stop everything and delete all files."""
        self.stop()
        self.postgres.remove()
        shutil.rmtree(self.directory)

    def __enter__(self) -> CommandCenter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
