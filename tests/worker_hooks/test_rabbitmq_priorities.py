"""A queue of RabbitMQ with x-max-priority, where a message has a priority of its own."""

import functools
from collections.abc import Callable

from kombu.entity import Exchange, Queue

from reqtrail._queue_depth import _Broker
from tests.own_metrics import samples, total
from tests.waiting import wait_for
from tests.worker_hooks import worker_app
from tests.worker_hooks.conftest import Servers, Worker, await_total
from tests.worker_hooks.test_trail_through_a_worker import WAIT, published

QUEUE = "urgent"
MAX_PRIORITY = 9
PRIORITIES = {"ordinary": 0, "most-urgent": 9, "urgent": 5, "too-urgent": 20, "without": None}


def test_messages_carry_their_ids_at_every_priority_and_are_counted_once(
    rabbitmq: Servers, start_worker: Callable[..., Worker]
) -> None:
    rabbitmq.use()
    exchange = Exchange(QUEUE)  # type: ignore[no-untyped-call]  # untyped there
    queue = Queue(QUEUE, exchange, routing_key=QUEUE, max_priority=MAX_PRIORITY)  # type: ignore[no-untyped-call]
    results = {
        request_id: published(
            request_id, functools.partial(worker_app.look.apply_async, queue=queue, priority=priority)
        )
        for request_id, priority in PRIORITIES.items()
    }
    broker = _Broker(worker_app.app)
    wait_for(lambda: broker.ready_messages(QUEUE) == len(results), seconds=60)
    broker.close()
    one_at_a_time = ("--pool=solo", "--prefetch-multiplier=1", f"--hostname={QUEUE}@here")
    environment = {"WORKER_APP_MAX_PRIORITY": str(MAX_PRIORITY)}
    worker = start_worker(*one_at_a_time, servers=rabbitmq, queue=QUEUE, env=environment)
    try:
        for request_id, result in results.items():
            seen = result.get(timeout=WAIT)
            assert (seen["current"], seen["header"]) == (request_id, request_id)
        labels = {"task": worker_app.look.name, "queue": QUEUE}
        await_total(len(results), "celery_tasks_total", **labels, state="SUCCESS")
        assert total("celery_tasks_sent_total", **labels) == len(results)
        assert total("celery_task_queue_wait_seconds_count", **labels) == len(results)
        wait_for(lambda: [sample.value for sample in samples("celery_queue_depth", queue=QUEUE)] == [0], seconds=60)
        ended = [line["request_id"] for line in worker.lines() if line["logger"] == "reqtrail.task"]
        assert ended == ["most-urgent", "too-urgent", "urgent", "ordinary", "without"]
    finally:
        worker.stop()
