"""How deep the queues of a worker are, as another process of the service shows it."""

import os
import signal
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
from celery import Celery
from kombu.transport import virtual

from devstack.process import free_port
from devstack.rabbitmq import RabbitMQ
from devstack.redis import Redis
from reqtrail._queue_depth import QueueDepths, _Broker, _ready_in
from tests.own_metrics import samples, total
from tests.waiting import wait_for
from tests.worker_hooks import worker_app
from tests.worker_hooks.conftest import Servers, Worker, await_total

QUEUE = "deep"


def freeze(broker: Redis | RabbitMQ) -> None:
    """Let it keep its connections, and answer nothing."""
    os.killpg(broker.process.pid, signal.SIGSTOP)


def depths() -> list[float]:
    return [sample.value for sample in samples("celery_queue_depth", queue=QUEUE)]


@pytest.fixture(params=["redis", "rabbitmq"])
def servers(request: pytest.FixtureRequest) -> Servers:
    chosen: Servers = request.getfixturevalue(request.param)
    return chosen


@pytest.fixture
def busy(servers: Servers, start_worker: Callable[..., Worker]) -> Iterator[Worker]:
    """A worker that holds one message, and takes no more while that one runs."""
    options = ("--pool=prefork", "--concurrency=1", "--prefetch-multiplier=1", f"--hostname={QUEUE}@here")
    worker = start_worker(*options, servers=servers, queue=QUEUE)
    yield worker
    worker.kill()


def test_ready_messages_of_all_priorities_are_counted_and_none_are_0_and_a_dead_worker_knows_nothing(
    busy: Worker,
) -> None:
    wait_for(lambda: depths() == [0], seconds=60)
    results = [worker_app.look.apply_async(kwargs={"wait": 600}, queue=QUEUE)]
    await_total(1, "celery_worker_tasks_active")
    results += [worker_app.look.apply_async(queue=QUEUE, priority=priority) for priority in (0, 3, 9)]
    results += [worker_app.look.apply_async(queue=QUEUE) for _ in range(2)]
    # One of them waits in the worker already, if its broker lets it have one more than it runs.
    wait_for(lambda: depths() in ([4.0], [5.0]), seconds=60)
    os.kill(busy.pid, signal.SIGKILL)
    wait_for(lambda: depths() == [], seconds=30)


class _StoppedMeanwhile(_Broker):
    """A broker during whose answer the worker stops: greenlets are switched wherever they wait."""

    def __init__(self, answer: int | Exception) -> None:
        super().__init__(worker_app.app)
        self.answer = answer
        self.step = QueueDepths(SimpleNamespace(app=worker_app.app))
        self.step._broker = self
        self.is_closed = False

    def ready_messages(self, queue: str) -> int:
        self.step.stop(None)
        self.is_closed = False  # it was opened again for this queue
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def close(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize("answer", [5, AttributeError("'NoneType' object has no attribute 'hostname'")])
def test_a_worker_that_stops_while_the_broker_is_asked_is_no_fault_and_shows_no_depth(answer: int | Exception) -> None:
    faults = total("reqtrail_faults_total")
    shown = [sample.value for sample in samples("celery_queue_depth", queue="celery")]
    broker = _StoppedMeanwhile(answer)
    broker.step._ask(SimpleNamespace(app=worker_app.app))
    assert [sample.value for sample in samples("celery_queue_depth", queue="celery")] == shown != [5]
    assert total("reqtrail_faults_total") == faults
    assert broker.is_closed


def test_a_queue_that_is_not_there_has_no_depth_and_the_next_one_has(rabbitmq: Servers) -> None:
    rabbitmq.use()
    worker_app.look.apply_async(queue="waiting")
    broker = _Broker(worker_app.app)
    try:
        assert broker.ready_messages("no-such-queue") is None
        wait_for(lambda: broker.ready_messages("waiting") == 1, seconds=60)
    finally:
        broker.close()


def test_a_transport_that_cannot_tell_has_no_depth() -> None:
    assert _ready_in(object.__new__(virtual.Channel), "celery") is None


def test_a_broker_that_is_not_there_is_a_connection_error() -> None:
    app = Celery("nowhere", broker=f"redis://127.0.0.1:{free_port()}/0", set_as_current=False)
    with pytest.raises(ConnectionError):
        _Broker(app).ready_messages("celery")


@pytest.mark.parametrize("server", [Redis, RabbitMQ])
@pytest.mark.parametrize("lose", [lambda broker: broker.stop(), freeze], ids=["stopped", "frozen"])
def test_while_the_broker_is_gone_no_depth_is_shown(
    server: type[Redis | RabbitMQ],
    lose: Callable[[Redis | RabbitMQ], None],
    redis: Servers,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with server(tmp_path_factory.mktemp("broker")) as broker:
        worker = Worker(
            tmp_path_factory.mktemp("worker"),
            Servers(broker.url, redis.results_url),
            "--pool=solo",
            f"--hostname={QUEUE}@there",
            queue=QUEUE,
        )
        try:
            wait_for(lambda: depths() == [0], seconds=60)
            lose(broker)
            wait_for(lambda: depths() == [], seconds=60)
        finally:
            worker.kill()
            broker.process.kill()
