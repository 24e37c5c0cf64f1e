from collections.abc import Callable, Iterator

import pytest
from celery.exceptions import TimeLimitExceeded

from tests.own_metrics import total
from tests.worker_hooks import worker_app
from tests.worker_hooks.conftest import Worker, await_total
from tests.worker_hooks.test_trail_through_a_worker import WAIT, published


@pytest.fixture(scope="module", params=["threads", "solo", "gevent"])
def worker(request: pytest.FixtureRequest, start_worker: Callable[..., Worker]) -> Iterator[Worker]:
    # A queue of its own, because the worker of the other tests is still running.
    name = request.param
    running = start_worker(f"--pool={name}", "--concurrency=2", f"--hostname={name}@%h", queue=name)
    yield running
    running.stop()


def test_each_task_has_its_own_id_and_leaves_none_in_its_thread(worker: Worker) -> None:
    results = {}
    for n in range(12):
        request_id = f"{worker.queue}-{n}" if n % 3 else None
        result = published(request_id, lambda: worker_app.look.apply_async(kwargs={"wait": 0.02}, queue=worker.queue))
        results[result] = request_id or result.id
    for result, expected in results.items():
        seen = result.get(timeout=WAIT)
        assert (seen["current"], seen["unchanged"]) == (expected, True)
        [line] = worker.lines_of(result.id)
        assert line["request_id"] == expected
    idle = [line for line in worker.lines() if line["logger"] == "celery.worker.strategy"]
    assert idle
    assert not [line for line in idle if "request_id" in line]


def test_a_failed_task_is_counted_and_told_with_its_id(worker: Worker) -> None:
    result = published("pool-1", lambda: worker_app.fail.apply_async(queue=worker.queue))
    with pytest.raises(ValueError, match="no such repository"):
        result.get(timeout=WAIT)
    [line] = worker.lines_of(result.id)
    assert (line["level"], line["state"], line["request_id"]) == ("ERROR", "FAILURE", "pool-1")
    labels = {"task": worker_app.fail.name, "queue": worker.queue}
    await_total(1, "celery_task_failures_total", **labels, error_type="ValueError")
    await_total(1, "celery_tasks_total", **labels, state="FAILURE")
    assert total("celery_tasks_total", **labels) == 1


def test_each_run_of_a_retried_task_is_counted_and_told_with_its_id(worker: Worker) -> None:
    result = published("pool-2", lambda: worker_app.retried.apply_async(queue=worker.queue))
    seen = result.get(timeout=WAIT)
    assert (seen["current"], seen["header"], seen["retries"]) == ("pool-2", "pool-2", 2)
    lines = worker.lines_of(result.id, at_least=3)
    assert [(line["state"], line["request_id"]) for line in lines] == [
        ("RETRY", "pool-2"),
        ("RETRY", "pool-2"),
        ("SUCCESS", "pool-2"),
    ]
    labels = {"task": worker_app.retried.name, "queue": worker.queue}
    await_total(2, "celery_tasks_total", **labels, state="RETRY")
    await_total(2, "celery_task_retries_total", **labels)
    await_total(1, "celery_tasks_total", **labels, state="SUCCESS")


@pytest.mark.parametrize("worker", ["gevent"], indirect=True)
def test_a_greenlet_that_the_hard_time_limit_ends_is_one_failure_and_one_line(worker: Worker) -> None:
    result = published("pool-3", lambda: worker_app.sleep_too_long.apply_async(queue=worker.queue))
    with pytest.raises(TimeLimitExceeded):
        result.get(timeout=WAIT)
    worker_app.look.apply_async(queue=worker.queue).get(timeout=WAIT)  # by then all of it has been told
    [line] = worker.lines_of(result.id)
    assert (line["level"], line["state"], line["request_id"]) == ("ERROR", "FAILURE", "pool-3")
    labels = {"task": worker_app.sleep_too_long.name, "queue": worker.queue}
    await_total(1, "celery_task_failures_total", **labels, error_type="TimeLimitExceeded")
    assert total("celery_tasks_total", **labels) == 1
    await_total(0, "celery_worker_tasks_active")
