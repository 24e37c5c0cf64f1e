"""The /metrics that the main process of a worker serves."""

import os
import signal
import urllib.request
from collections.abc import Callable
from pathlib import Path

from devstack.process import accepts_connections, free_port
from tests.waiting import wait_for
from tests.worker_hooks import worker_app
from tests.worker_hooks.conftest import Worker
from tests.worker_hooks.test_trail_through_a_worker import WAIT


def scrape(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        return str(response.read().decode())


def listeners(port: int) -> int:
    """How many processes of this machine have a socket that listens at the port."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    sockets = {f"socket:[{line[9]}]" for line in lines if line[1].endswith(f":{port:04X}") and line[3] == "0A"}
    return sum(not sockets.isdisjoint(files_of(process)) for process in Path("/proc").glob("[0-9]*"))


def files_of(process: Path) -> list[str]:
    try:
        return [str(each.readlink()) for each in (process / "fd").iterdir()]
    except OSError:
        return []  # it has ended meanwhile


def test_the_main_process_serves_and_the_next_worker_takes_over(start_worker: Callable[..., Worker]) -> None:
    port = free_port()
    environment = {"REQTRAIL_METRICS_PORT": str(port)}
    first = start_worker("--concurrency=2", "--hostname=first@here", queue="first", env=environment)
    second = start_worker("--concurrency=2", "--hostname=second@here", queue="second", env=environment)
    try:
        for queue in ("first", "second"):
            worker_app.look.apply_async(queue=queue).get(timeout=WAIT)
        wait_for(lambda: 'queue="second",state="SUCCESS"} 1' in scrape(port), seconds=60)
        text = scrape(port)
        assert 'queue="first",state="SUCCESS"} 1' in text
        assert 'celery_worker_up{hostname="first@here"} 1' in text
        assert 'celery_worker_up{hostname="second@here"} 1' in text
        assert listeners(port) == 1
        waiting = [line["message"] for line in second.lines() if "somebody else listens" in line["message"]]
        assert waiting == [f"metrics are not served by this worker: somebody else listens at 127.0.0.1:{port}"]
        os.kill(first.pid, signal.SIGKILL)
        first.kill()
        wait_for(lambda: accepts_connections(port), seconds=60)
        wait_for(lambda: 'celery_worker_up{hostname="first@here"} 0' in scrape(port), seconds=60)
        assert 'queue="first",state="SUCCESS"} 1' in scrape(port)
    finally:
        first.kill()
        second.kill()


def test_a_worker_without_a_port_serves_nothing(prefork: Worker) -> None:
    assert not [line for line in prefork.lines() if "metrics are served" in line["message"]]
