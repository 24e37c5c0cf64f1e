"""Whatever way a task is published, it works for the publisher's request: with Redis and with RabbitMQ."""

import uuid
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from celery import chain, chord, group, signature

from tests.own_metrics import total
from tests.waiting import wait_for
from tests.worker_hooks import worker_app
from tests.worker_hooks.conftest import Worker, await_total, publish_raw
from tests.worker_hooks.test_trail_through_a_worker import WAIT, published

look = worker_app.look


def processes_that_run() -> set[int]:
    """The processes that four tasks ran in, which were there at once."""
    return {result.get(timeout=WAIT)["pid"] for result in [look.delay(wait=0.3) for _ in range(4)]}


def ids_seen(results: Any) -> list[str]:
    return [one["current"] for one in (results if isinstance(results, list) else [results])]


@pytest.mark.parametrize(
    "publish",
    [
        lambda: look.delay(),
        lambda: look.apply_async(),
        lambda: look.apply_async(headers={"tenant": "7"}),
        lambda: look.apply_async(headers={"request_id": "stale"}),
        lambda: look.apply_async(request_id="stale"),
        lambda: look.apply_async(countdown=0.2),
        lambda: look.apply_async(eta=datetime.now(timezone.utc) + timedelta(seconds=0.2)),
        lambda: look.apply_async(expires=60, priority=3),
        lambda: worker_app.app.send_task(look.name),
        lambda: look.si().apply_async(),
        lambda: look.s().set(headers={"request_id": "stale"}).delay(),
        lambda: signature(look.name, app=worker_app.app).apply_async(),
        lambda: worker_app.limited.delay(),
        lambda: worker_app.of_own_class.delay(),
        lambda: worker_app.replaced.delay(),
        lambda: worker_app.retried.delay(),
        lambda: worker_app.retried_by_itself.delay(),
    ],
    ids=[
        "delay",
        "apply_async",
        "other headers",
        "a stale header",
        "a stale option",
        "countdown",
        "ETA",
        "expires, priority",
        "send_task",
        "signature",
        "signature with a stale header",
        "signature by name",
        "rate limit",
        "own class",
        "replaced",
        "retry",
        "autoretry",
    ],
)
def test_every_way_to_publish_carries_the_publishers_id(either: Worker, publish: Any) -> None:
    assert published("path-1", publish).get(timeout=WAIT)["current"] == "path-1"


@pytest.mark.parametrize(
    ("canvas", "parts"),
    [
        (lambda: group(look.si(), look.si()), 2),
        (lambda: chain(look.si(), look.si(), look.si()), 1),
        (lambda: chord([look.si(), look.si()], look.si()), 1),
        (lambda: chain(look.si(), group(look.si(), look.si())), 2),
        (lambda: group(chain(look.si(), look.si()), look.si()), 2),
        (lambda: look.map([1, 2]), 2),
        (lambda: look.starmap([(1,), (2,)]), 2),
        (lambda: look.chunks([(1,), (2,)], 1).group(), None),
    ],
    ids=["group", "chain", "chord", "chain to group", "group of chains", "map", "starmap", "chunks"],
)
def test_all_parts_see_the_publishers_id(either: Worker, canvas: Any, parts: int | None) -> None:
    results = published("path-2", lambda: canvas().apply_async()).get(timeout=WAIT)
    if parts is None:  # chunks are lists of lists
        results, parts = [one for chunk in results for one in chunk], 2
    assert ids_seen(results) == ["path-2"] * parts


def test_what_is_linked_sees_the_publishers_id(either: Worker) -> None:
    result = published("path-3", lambda: look.apply_async(link=look.si()))
    result.get(timeout=WAIT)
    [child] = result.children or worker_app.app.AsyncResult(result.id).children
    assert child.get(timeout=WAIT)["current"] == "path-3"


def test_what_is_linked_to_an_error_sees_the_publishers_id(either: Worker) -> None:
    linked_id = str(uuid.uuid4())
    on_error = look.si().set(task_id=linked_id)
    result = published("path-4", lambda: worker_app.fail.apply_async(link_error=on_error))
    with pytest.raises(ValueError, match="no such repository"):
        result.get(timeout=WAIT)
    assert worker_app.app.AsyncResult(linked_id).get(timeout=WAIT)["current"] == "path-4"


def test_a_task_published_by_a_task_works_for_the_same_request(either: Worker) -> None:
    inner_id = published("path-5", worker_app.nested.delay).get(timeout=WAIT)
    assert worker_app.app.AsyncResult(inner_id).get(timeout=WAIT)["current"] == "path-5"


def test_protocol_1_carries_the_id_and_the_time(either: Worker) -> None:
    labels = {"task": look.name, "queue": "celery"}
    waits = total("celery_task_queue_wait_seconds_count", **labels)
    protocol = worker_app.app.amqp.task_protocols[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker_app.app.amqp, "create_task_message", protocol)
        result = published("path-6", look.delay)
    assert result.get(timeout=WAIT)["current"] == "path-6"
    await_total(waits + 1, "celery_task_queue_wait_seconds_count", **labels)


@pytest.mark.parametrize("task", [worker_app.retried, worker_app.retried_by_itself])
def test_headers_never_grow_on_retry(either: Worker, task: Any) -> None:
    result = published("path-7", lambda: task.apply_async(headers={"tenant": "7"}))
    seen = result.get(timeout=WAIT)
    assert (seen["current"], seen["header"], seen["retries"]) == ("path-7", "path-7", 2)
    own = {name: value for name, value in (seen["headers"] or {}).items() if "reqtrail" in name or "request_id" in name}
    assert set(own) <= {"request_id", "reqtrail_published_at"}
    lines = either.lines_of(result.id, at_least=3)
    assert sorted((line["state"], line["request_id"]) for line in lines) == [
        ("RETRY", "path-7"),
        ("RETRY", "path-7"),
        ("SUCCESS", "path-7"),
    ]


def test_a_task_whose_result_nobody_wants_is_told_all_the_same(either: Worker) -> None:
    result = published("path-8", worker_app.without_result.delay)
    [line] = either.lines_of(result.id)
    assert (line["state"], line["request_id"]) == ("SUCCESS", "path-8")


def test_methods_of_an_own_task_class_run_in_the_request(either: Worker) -> None:
    seen = published("path-9", worker_app.of_own_class.delay).get(timeout=WAIT)
    assert seen["in_call"] == "path-9"
    assert seen["begun"] >= 1


def test_what_a_killed_process_leaves_runs_again_for_the_same_request_and_is_counted_once(either: Worker) -> None:
    labels = {"task": worker_app.killed_once.name, "queue": "celery"}
    before = {state: total("celery_tasks_total", **labels, state=state) for state in ("SUCCESS", "FAILURE")}
    result = published("path-10", worker_app.killed_once.delay)
    seen = result.get(timeout=WAIT)
    assert (seen["current"], seen["header"]) == ("path-10", "path-10")
    await_total(before["SUCCESS"] + 1, "celery_tasks_total", **labels, state="SUCCESS")
    assert total("celery_tasks_total", **labels, state="FAILURE") == before["FAILURE"]
    assert [line["state"] for line in either.lines_of(result.id)] == ["SUCCESS"]


@pytest.mark.parametrize(
    ("task", "error_type"), [(worker_app.sleep_too_long, "TimeLimitExceeded"), (worker_app.die, "WorkerLostError")]
)
def test_a_task_whose_process_is_killed_is_one_failure_and_one_line(either: Worker, task: Any, error_type: str) -> None:
    labels = {"task": task.name, "queue": "celery"}
    before = total("celery_task_failures_total", **labels)
    result = published("path-11", task.delay)
    with pytest.raises(Exception, match=r"."):
        result.get(timeout=WAIT)
    look.delay().get(timeout=WAIT)  # by then all of it has been told
    await_total(before + 1, "celery_task_failures_total", **labels, error_type=error_type)
    assert total("celery_task_failures_total", **labels) == before + 1
    assert total("celery_tasks_total", **labels, state="SUCCESS") == 0
    [line] = either.lines_of(result.id)
    assert (line["level"], line["request_id"], line["error_type"]) == ("ERROR", "path-11", error_type)


@pytest.mark.parametrize("state", ["REJECTED", "IGNORED"])
def test_a_task_that_ends_without_a_result_is_counted_once_and_is_no_failure(either: Worker, state: str) -> None:
    labels = {"task": worker_app.refuse.name, "queue": "celery"}
    before = total("celery_tasks_total", **labels)
    result = published("path-13", lambda: worker_app.refuse.delay(state))
    [line] = either.lines_of(result.id)
    assert (line["state"], line["request_id"]) == (state, "path-13")
    look.delay().get(timeout=WAIT)  # by then all of it has been told
    await_total(before + 1, "celery_tasks_total", **labels)
    assert total("celery_task_failures_total", **labels) == 0


@pytest.mark.parametrize("terminate", [False, True], ids=["before it runs", "while it runs"])
def test_a_revoked_task_is_counted_once_and_is_one_line_with_the_publishers_id(either: Worker, terminate: bool) -> None:
    labels = {"task": look.name, "queue": "celery"}
    before = {state: total("celery_tasks_total", **labels, state=state) for state in ("REVOKED", "FAILURE")}
    await_total(0, "celery_worker_tasks_active")
    countdown = 0 if terminate else 1
    result = published("path-12", lambda: look.apply_async(kwargs={"wait": 60}, countdown=countdown))
    wait_for(lambda: either.has_received(result.id), seconds=60)
    if terminate:
        await_total(1, "celery_worker_tasks_active")
    result.revoke(terminate=terminate)
    [line] = either.lines_of(result.id)
    assert (line["level"], line["state"], line["request_id"]) == ("INFO", "REVOKED", "path-12")
    await_total(before["REVOKED"] + 1, "celery_tasks_total", **labels, state="REVOKED")
    # As soon as both processes run tasks, the one that was killed is replaced, and all of its end has been told.
    wait_for(lambda: len(processes_that_run()) == 2, seconds=60)
    assert {state: total("celery_tasks_total", **labels, state=state) for state in before} == {
        "REVOKED": before["REVOKED"] + 1,
        "FAILURE": before["FAILURE"],
    }
    assert either.lines_of(result.id) == [line]
    await_total(0, "celery_worker_tasks_active")


@pytest.mark.parametrize("bad", ["x'; DROP TABLE t", "a" * 129])
def test_a_bad_id_from_the_broker_is_replaced_and_counted(either: Worker, bad: str) -> None:
    before = total("reqtrail_task_request_ids_rejected_total")
    task_id = publish_raw(look.name, request_id=bad)
    assert worker_app.app.AsyncResult(task_id).get(timeout=WAIT)["current"] == "root-1"
    await_total(before + 1, "reqtrail_task_request_ids_rejected_total")
