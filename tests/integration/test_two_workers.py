"""Two uvicorn processes are one service: the metrics of both are one number each, whoever answers."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from devstack.commandcenter import CommandCenter
from tests.integration.metric_samples import total
from tests.waiting import wait_for

ROUTE = "/api/v1/repositories"
_CPU_FIELDS = slice(11, 13)  # utime and stime, counted behind the command's name: proc(5)


def _workers(stack: CommandCenter) -> list[int]:
    """The processes that serve requests (uvicorn's other child tracks resources)."""
    children = Path(f"/proc/{stack.api.pid}/task/{stack.api.pid}/children").read_text().split()
    return [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def _cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[_CPU_FIELDS])


def _get(stack: CommandCenter, count: int) -> None:
    """Sends `count` requests, each on a connection of its own, so that both processes get some."""
    with ThreadPoolExecutor(8) as threads:
        answers = threads.map(lambda _: httpx.get(stack.url + ROUTE, timeout=30).status_code, range(count))
        assert set(answers) == {200}


def test_every_request_is_counted_once_whoever_served_it(stack: CommandCenter, client: httpx.Client) -> None:
    workers = _workers(stack)
    assert len(workers) == 2
    ticks = {pid: _cpu_ticks(pid) for pid in workers}
    before = total(client, "http_requests_total", handler=ROUTE, status="200")
    _get(stack, 400)
    assert all(_cpu_ticks(pid) > ticks[pid] for pid in workers), (
        "one process served everything: the test proves nothing"
    )
    for _ in range(8):
        with httpx.Client(base_url=stack.url) as fresh:
            assert total(fresh, "http_requests_total", handler=ROUTE, status="200") == before + 400
            assert total(fresh, "http_request_duration_seconds_count", handler=ROUTE) >= before + 400


def test_counts_survive_a_killed_worker(stack: CommandCenter, client: httpx.Client) -> None:
    before = total(client, "http_requests_total", handler=ROUTE, status="200") + 40
    _get(stack, 40)
    # A request is counted when it is over, which may be a moment after its client has the answer.
    wait_for(lambda: total(client, "http_requests_total", handler=ROUTE, status="200") == before, seconds=60)
    os.kill(_workers(stack)[0], signal.SIGKILL)
    with httpx.Client(base_url=stack.url, transport=httpx.HTTPTransport(retries=5)) as fresh:
        assert total(fresh, "http_requests_total", handler=ROUTE, status="200") == before
