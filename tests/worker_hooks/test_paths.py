"""Every task of a canvas works for the request that published it, whoever publishes the parts."""

from typing import Any

import pytest
from celery import chord, group

from tests.worker_hooks import worker_app
from tests.worker_hooks.conftest import Worker, await_total, total
from tests.worker_hooks.test_trail_through_a_worker import WAIT, published

look = worker_app.look


def ids_seen(results: Any) -> list[str]:
    return [one["current"] for one in (results if isinstance(results, list) else [results])]


@pytest.mark.parametrize(
    ("canvas", "parts"),
    [
        (lambda: group(look.si(), look.si()), 2),
        (lambda: chord([look.si(), look.si()], look.si()), 1),
        (lambda: look.map([1, 2]), 2),
        (lambda: look.starmap([(1,), (2,)]), 2),
    ],
    ids=["group", "chord", "map", "starmap"],
)
def test_all_parts_see_the_publishers_id(either: Worker, canvas: Any, parts: int) -> None:
    result = published("canvas-1", lambda: canvas().apply_async())
    assert ids_seen(result.get(timeout=WAIT)) == ["canvas-1"] * parts


def test_what_is_linked_sees_the_publishers_id(either: Worker) -> None:
    result = published("canvas-2", lambda: look.apply_async(link=look.si()))
    result.get(timeout=WAIT)
    [child] = result.children or worker_app.app.AsyncResult(result.id).children
    assert child.get(timeout=WAIT)["current"] == "canvas-2"


def test_protocol_1_carries_the_id_and_the_time(either: Worker) -> None:
    labels = {"task": look.name, "queue": "celery"}
    waits = total("celery_task_queue_wait_seconds_count", **labels)
    protocol = worker_app.app.amqp.task_protocols[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker_app.app.amqp, "create_task_message", protocol)
        result = published("canvas-3", look.delay)
    assert result.get(timeout=WAIT)["current"] == "canvas-3"
    await_total(waits + 1, "celery_task_queue_wait_seconds_count", **labels)
