import gc
import json
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import kombu.pools
import pytest

from devstack.process import ServerProcess
from devstack.rabbitmq import RabbitMQ
from devstack.redis import Redis
from reqtrail import metrics
from tests.own_metrics import segment_of_the_tests, total
from tests.worker_hooks import worker_app

__all__ = ["segment_of_the_tests"]

REPOSITORY = Path(__file__).resolve().parents[2]


class Servers(NamedTuple):
    """Where tasks are published, and where their results are kept."""

    broker_url: str
    results_url: str

    def use(self) -> None:
        """Let this process publish there."""
        app = worker_app.app
        if app.conf.broker_url != self.broker_url:
            # Else each thread that publishes leaves connections of its own to the garbage collector.
            app.conf.update(
                broker_url=self.broker_url, result_backend=self.results_url, result_backend_thread_safe=True
            )
            kombu.pools.reset()  # type: ignore[no-untyped-call]  # untyped there
            app.amqp._producer_pool = app._pool = None


def worker_environment(servers: Servers) -> dict[str, str]:
    """What a process of `worker_app` needs to know: its servers, and the metrics of these tests."""
    return {
        "WORKER_APP_BROKER": servers.broker_url,
        "WORKER_APP_RESULTS": servers.results_url,
        "PYTHONPATH": str(REPOSITORY),
        "REQTRAIL_METRICS_DIR": str(Path(metrics.open_segment().path).parent),
    }


class Worker:
    """A running Celery worker of `worker_app`."""

    def __init__(
        self,
        directory: Path,
        servers: Servers,
        *options: str,
        queue: str = "celery",
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.queue = queue
        self.log = directory / "worker.log"
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
            log=self.log,
            env={**worker_environment(servers), **(env or {})},
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

    def has_received(self, task_id: str) -> bool:
        """Whether its main process has the task, as Celery says at INFO."""
        return any(task_id in line["message"] and "received" in line["message"] for line in self.lines())

    def errors_about(self, text: str, *, after: int) -> list[dict[str, Any]]:
        """The error lines, of any logger, that tell of `text`, without the first `after` lines."""
        return [line for line in self.lines()[after:] if line["level"] == "ERROR" and text in json.dumps(line)]

    @property
    def pid(self) -> int:
        """Its main process."""
        return self._process.pid

    def kill(self) -> None:
        """Kill what is left of it: its main process and the children of the pool."""
        self._process.kill()

    def stop(self) -> None:
        """Stop it warmly. Our instruments must not have failed in it."""
        self._process.stop()
        assert not [line["message"] for line in self.lines() if line["message"].startswith("reqtrail failed")]


def publish_raw(task: str, **headers: object) -> str:
    """Send a message of task protocol 2 past Celery and its hooks; returns the task's id."""
    task_id = str(uuid.uuid4())
    with worker_app.app.connection_for_write() as connection:
        connection.Producer().publish(
            [[], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}],
            serializer="json",
            routing_key="celery",
            headers={"lang": "py", "task": task, "id": task_id, "root_id": "root-1", **headers},
            correlation_id=task_id,
        )
    return task_id


def await_total(expected: float, name: str, **labels: str) -> None:
    """Wait until the sum of these samples is what is expected: a worker counts after the result is there."""
    deadline = time.monotonic() + 60
    while total(name, **labels) != expected:
        assert time.monotonic() < deadline, (name, labels, total(name, **labels), expected)
        time.sleep(0.02)


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Redis, for tasks and results."""
    with Redis(tmp_path_factory.mktemp("redis")) as server:
        yield Servers(server.url, server.url)
        gc.collect()  # while Redis is there: that is where a result of Celery's unsubscribes when it is collected
        worker_app.app.close()


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory, redis: Servers) -> Iterator[Servers]:
    """RabbitMQ for tasks, Redis for results."""
    with RabbitMQ(tmp_path_factory.mktemp("rabbitmq")) as server:
        yield Servers(server.url, redis.results_url)
        worker_app.app.close()


@pytest.fixture(scope="session")
def start_worker(tmp_path_factory: pytest.TempPathFactory, redis: Servers) -> Callable[..., Worker]:
    """Start a worker, of Redis unless others are given as `servers`. This process publishes to the same."""

    def start(*options: str, servers: Servers = redis, **named: Any) -> Worker:
        servers.use()
        return Worker(tmp_path_factory.mktemp("worker"), servers, *options, **named)

    return start


@pytest.fixture(scope="session")
def _prefork_of_redis(start_worker: Callable[..., Worker]) -> Iterator[Worker]:
    worker = start_worker("--pool=prefork", "--concurrency=2")
    yield worker
    worker.stop()


@pytest.fixture(scope="session")
def _prefork_of_rabbitmq(start_worker: Callable[..., Worker], rabbitmq: Servers) -> Iterator[Worker]:
    worker = start_worker("--pool=prefork", "--concurrency=2", servers=rabbitmq)
    yield worker
    worker.stop()


@pytest.fixture
def prefork(_prefork_of_redis: Worker, redis: Servers) -> Worker:
    """A worker of Redis with two processes, which all tests share."""
    redis.use()
    return _prefork_of_redis


@pytest.fixture(params=["redis", "rabbitmq"])
def either(request: pytest.FixtureRequest) -> Worker:
    """A worker with two processes, once of Redis and once of RabbitMQ. This process publishes to the same."""
    request.getfixturevalue(request.param).use()
    worker: Worker = request.getfixturevalue(f"_prefork_of_{request.param}")
    return worker
