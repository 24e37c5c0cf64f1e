"""Tasks that the worker holds back, because there may be no more of them in a second."""

from collections.abc import Callable

import pytest

from tests.own_metrics import total
from tests.worker_hooks import worker_app
from tests.worker_hooks.conftest import Worker, await_total
from tests.worker_hooks.test_trail_through_a_worker import WAIT, published


@pytest.mark.parametrize("broker", ["redis", "rabbitmq"])
def test_tasks_that_are_held_back_keep_their_ids_and_one_without_a_limit_overtakes_them(
    broker: str, start_worker: Callable[..., Worker], request: pytest.FixtureRequest
) -> None:
    servers = request.getfixturevalue(broker)
    servers.use()
    queue = f"limited-{broker}"
    tasks = {f"limited-{n}": worker_app.limited for n in (1, 2, 3)} | {"unlimited": worker_app.look}
    results = {}
    for request_id, task in tasks.items():
        results[request_id] = published(request_id, lambda: task.apply_async(queue=queue))  # noqa: B023 - called at once
    # One task at a time, in the order of the queue, unless it is held back.
    worker = start_worker("--pool=solo", f"--hostname={queue}@here", servers=servers, queue=queue)
    try:
        for request_id, result in results.items():
            seen = result.get(timeout=WAIT)
            assert (seen["current"], seen["header"]) == (request_id, request_id)
        labels = {"task": worker_app.limited.name, "queue": queue}
        await_total(3, "celery_tasks_total", **labels, state="SUCCESS")
        assert total("celery_task_queue_wait_seconds_count", **labels) == 3
        ended = [line["request_id"] for line in worker.lines() if line["logger"] == "reqtrail.task"]
        assert sorted(ended) == sorted(results)
        assert ended.index("unlimited") < ended.index("limited-3")
    finally:
        worker.stop()
