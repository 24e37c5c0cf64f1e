"""Which workers are up, as another process of the service shows it."""

import os
import signal
from collections.abc import Callable

import pytest

from tests.own_metrics import total
from tests.waiting import wait_for
from tests.worker_hooks import worker_app
from tests.worker_hooks.conftest import Worker, await_total
from tests.worker_hooks.test_trail_through_a_worker import WAIT

POOLS = ("prefork", "threads", "solo", "gevent")


@pytest.mark.parametrize("pool", POOLS)
def test_a_worker_is_up_until_it_is_killed(pool: str, start_worker: Callable[..., Worker]) -> None:
    others = total("celery_workers_active")
    await_total(0, "celery_worker_tasks_active")
    queue = f"up-{pool}"
    worker = start_worker(f"--pool={pool}", "--concurrency=1", f"--hostname={queue}@here", queue=queue)
    await_total(1, "celery_worker_up", hostname=f"{queue}@here")
    await_total(others + 1, "celery_workers_active")
    worker_app.look.apply_async(queue=queue).get(timeout=WAIT)
    await_total(1, "celery_tasks_total", queue=queue, state="SUCCESS")
    worker_app.look.apply_async(kwargs={"wait": 600}, queue=queue)
    await_total(1, "celery_worker_tasks_active")
    os.kill(worker.pid, signal.SIGKILL)
    wait_for(lambda: total("celery_worker_up", hostname=f"{queue}@here") == 0, seconds=30)
    wait_for(lambda: total("celery_workers_active") == others, seconds=30)
    worker.kill()  # of prefork, the process that runs the task is still there, and the task with it
    wait_for(lambda: total("celery_worker_tasks_active") == 0, seconds=30)
    assert total("celery_tasks_total", queue=queue) == 1


def test_running_tasks_are_counted_while_they_run(prefork: Worker) -> None:
    await_total(0, "celery_worker_tasks_active")
    results = [worker_app.look.delay(wait=2) for _ in range(2)]
    await_total(2, "celery_worker_tasks_active")
    for result in results:
        result.get(timeout=WAIT)
    await_total(0, "celery_worker_tasks_active")


def test_a_killed_task_runs_no_more(prefork: Worker) -> None:
    with pytest.raises(Exception, match=r"."):
        worker_app.die.delay().get(timeout=WAIT)
    wait_for(lambda: total("celery_worker_tasks_active") == 0, seconds=60)
