"""A task that a killed worker had, run by the next one."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.own_metrics import total
from tests.waiting import wait_for
from tests.worker_hooks import worker_app
from tests.worker_hooks.conftest import Worker, await_total
from tests.worker_hooks.test_trail_through_a_worker import published


@pytest.mark.parametrize("broker", ["redis", "rabbitmq"])
def test_the_next_worker_works_for_the_same_request_and_the_task_is_counted_once(
    broker: str, start_worker: Callable[..., Worker], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    servers = request.getfixturevalue(broker)
    queue = f"late-{broker}"
    labels = {"task": worker_app.late.name, "queue": queue}

    def start(name: str) -> Worker:
        environment = {"WORKER_APP_RESTORES_AT_ONCE": "1"} if broker == "redis" else {}
        return start_worker("--pool=solo", f"--hostname={name}@here", servers=servers, queue=queue, env=environment)

    killed = start("killed")
    begun = tmp_path / "begun"
    result = published("late-1", lambda: worker_app.late.apply_async((str(begun),), queue=queue))
    wait_for(begun.exists, seconds=60)
    os.kill(killed.pid, signal.SIGKILL)
    killed.kill()
    await_total(0, "celery_worker_up", hostname="killed@here")
    after = start("after")
    try:
        # Before kombu 5.7, Redis is asked for it every 100 seconds, whatever the options.
        seen = result.get(timeout=240)
        assert (seen["current"], seen["header"]) == ("late-1", "late-1")
        await_total(1, "celery_tasks_total", **labels)
        assert total("celery_tasks_total", **labels, state="SUCCESS") == 1
        assert total("celery_task_queue_wait_seconds_count", **labels) == 1  # of the first delivery alone
        [line] = after.lines_of(result.id)
        assert line["request_id"] == "late-1"
    finally:
        after.kill()
