from collections.abc import Callable, Iterator

import pytest

from tests.worker_hooks import worker_app
from tests.worker_hooks.conftest import Worker
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
