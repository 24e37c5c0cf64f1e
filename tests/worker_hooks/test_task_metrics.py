"""The series of tasks that ran in a real worker, read in another process of the service."""

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from celery import signals

from tests.own_metrics import samples, total
from tests.worker_hooks import worker_app
from tests.worker_hooks.conftest import Worker, await_total
from tests.worker_hooks.test_trail_through_a_worker import WAIT, published

QUEUE = {"queue": "celery"}


def labels_of(task: Any) -> dict[str, str]:
    return {"task": task.name, **QUEUE}


def test_a_task_is_counted_once_where_it_is_sent_and_once_where_it_runs(prefork: Worker) -> None:
    labels = labels_of(worker_app.look)
    names = ("celery_task_duration_seconds_count", "celery_task_queue_wait_seconds_count", "celery_tasks_sent_total")
    before = {name: total(name, **labels) for name in names}
    succeeded = total("celery_tasks_total", **labels, state="SUCCESS")
    for result in [published("counted-1", worker_app.look.delay) for _ in range(3)]:
        result.get(timeout=WAIT)
    await_total(succeeded + 3, "celery_tasks_total", **labels, state="SUCCESS")
    for name in names:
        await_total(before[name] + 3, name, **labels)


def test_the_request_id_is_the_exemplar_and_no_label(prefork: Worker) -> None:
    labels = labels_of(worker_app.look)
    before = total("celery_tasks_total", **labels, state="SUCCESS")
    published("shown-as-exemplar", worker_app.look.delay).get(timeout=WAIT)
    await_total(before + 1, "celery_tasks_total", **labels, state="SUCCESS")
    [sample] = samples("celery_tasks_total", **labels, state="SUCCESS")
    assert sample.exemplar is not None
    assert sample.exemplar.labels == {"request_id": "shown-as-exemplar"}
    assert "request_id" not in sample.labels


def test_a_failure_is_counted_by_the_class_of_its_error(prefork: Worker) -> None:
    labels = labels_of(worker_app.fail)
    before = total("celery_task_failures_total", **labels, error_type="ValueError")
    with pytest.raises(ValueError, match="no such repository"):
        worker_app.fail.delay().get(timeout=WAIT)
    await_total(before + 1, "celery_task_failures_total", **labels, error_type="ValueError")


def test_each_retry_is_counted_and_sent_again(prefork: Worker) -> None:
    labels = labels_of(worker_app.retried)
    names = {"celery_task_retries_total": 2, "celery_tasks_sent_total": 3, "celery_tasks_total": 3}
    before = {name: total(name, **labels) for name in names}
    worker_app.retried.delay().get(timeout=WAIT)
    for name, added in names.items():
        await_total(before[name] + added, name, **labels)


def test_the_wait_for_an_eta_is_no_wait_in_the_queue(prefork: Worker) -> None:
    labels = labels_of(worker_app.look)
    before = total("celery_task_queue_wait_seconds_sum", **labels)
    count = total("celery_task_queue_wait_seconds_count", **labels)
    worker_app.look.apply_async(countdown=4).get(timeout=WAIT)
    await_total(count + 1, "celery_task_queue_wait_seconds_count", **labels)
    assert total("celery_task_queue_wait_seconds_sum", **labels) - before < 4


PUBLISHED_AT = "reqtrail_published_at"


@pytest.mark.parametrize(
    ("changes", "seen"),
    [
        ({}, 1),
        ({"eta": (datetime.now(timezone.utc) + timedelta(hours=1)).isoformat()}, 1),
        ({"eta": "2020-01-01T00:00:00Z"}, 1),
        ({"eta": "no date"}, 0),
        ({"eta": "2020-01-01T00:00:00"}, 0),
        ({"eta": 7}, 0),
        ({PUBLISHED_AT: "now"}, 0),
        ({PUBLISHED_AT: float("nan")}, 0),
        ({PUBLISHED_AT: float("inf")}, 0),
        ({PUBLISHED_AT: None}, 0),
        ({PUBLISHED_AT: None, "headers": {PUBLISHED_AT: 4e9}}, 1),
        ({"delivery_info": {"routing_key": "q", "redelivered": True}}, 0),
        ({"is_eager": True}, 0),
    ],
)
def test_a_wait_is_recorded_only_where_it_is_known_and_is_never_negative(changes: dict[str, Any], seen: int) -> None:
    labels = {"task": worker_app.look.name, "queue": ""}
    if "delivery_info" in changes:
        labels["queue"] = "q"
    count = total("celery_task_queue_wait_seconds_count", **labels)
    summed = total("celery_task_queue_wait_seconds_sum", **labels)
    task = worker_app.app.tasks[worker_app.look.name]
    task.push_request(**{"id": "waited", PUBLISHED_AT: 4e9, **changes})
    try:
        signals.task_prerun.send(sender=task, task=task, task_id="waited", args=(), kwargs={})
        signals.task_postrun.send(sender=task, task=task, task_id="waited", args=(), kwargs={}, retval=None, state=None)
    finally:
        task.pop_request()
    assert total("celery_task_queue_wait_seconds_count", **labels) == count + seen
    assert total("celery_task_queue_wait_seconds_sum", **labels) == summed
