import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from devstack.process import ServerProcess
from devstack.redis import Redis
from tests.worker_hooks import worker_app

REPOSITORY = Path(__file__).resolve().parents[2]


class Worker:
    """A running Celery worker of `worker_app`."""

    def __init__(self, directory: Path, redis: Redis, *options: str, queue: str = "celery") -> None:
        self.queue = queue
        self._process = ServerProcess(
            [
                sys.executable,
                "-m",
                "celery",
                "-A",
                "tests.worker_hooks.worker_app",
                "worker",
                "--loglevel=INFO",
                f"--queues={queue}",
                *options,
            ],
            log=directory / "worker.log",
            env={"WORKER_APP_REDIS": redis.url, "PYTHONPATH": str(REPOSITORY)},
            cwd=REPOSITORY,
        )
        self._process.await_ready(lambda: " ready." in self._process.log_text(), "the worker")

    def lines(self) -> list[dict[str, Any]]:
        """Its log lines so far."""
        lines = self._process.log_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def lines_of(self, task_id: str, *, at_least: int = 1) -> list[dict[str, Any]]:
        """The lines of `reqtrail.task` about one task, as soon as there are that many."""
        deadline = time.monotonic() + 20
        while True:
            found = [line for line in self.lines() if line.get("task_id") == task_id]
            if len(found) >= at_least:
                return found
            assert time.monotonic() < deadline, self._process.log_tail()
            time.sleep(0.02)

    def errors_about(self, text: str) -> list[dict[str, Any]]:
        """All error lines, of any logger, that tell of `text`."""
        return [line for line in self.lines() if line["level"] == "ERROR" and text in json.dumps(line)]

    def stop(self) -> None:
        """Stop it warmly."""
        self._process.stop()


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with Redis(tmp_path_factory.mktemp("redis")) as redis:
        worker_app.app.conf.update(broker_url=redis.url, result_backend=redis.url)
        yield redis
        worker_app.app.close()


@pytest.fixture(scope="session")
def start_worker(tmp_path_factory: pytest.TempPathFactory, broker: Redis) -> Callable[..., Worker]:
    return lambda *options, **named: Worker(tmp_path_factory.mktemp("worker"), broker, *options, **named)


@pytest.fixture(scope="session")
def prefork(start_worker: Callable[..., Worker]) -> Iterator[Worker]:
    worker = start_worker("--pool=prefork", "--concurrency=2")
    yield worker
    worker.stop()
