"""One segment, many processes: what a scrape of any of them shows."""

import asyncio
import contextlib
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from reqtrail.metrics import Counter, Histogram, Segment, asgi_app

WORKERS = 4
ROUNDS = 2000


def count_in(directory: str) -> None:
    """What each worker does: it opens or inherits the segment, makes the metrics, counts."""
    segment = Segment("test", directory)
    counter = Counter("hits", "Hits", ["path"], segment=segment)
    histogram = Histogram("wait_seconds", "Wait", segment=segment)
    for number in range(ROUNDS):
        counter.labels(f"/{number % 10}").inc()
        histogram.observe(0.25)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_totals_over_processes_are_exact(tmp_path: Path, method: str) -> None:
    segment = Segment("test", str(tmp_path))
    context: Any = multiprocessing.get_context(method)
    workers = [context.Process(target=count_in, args=(str(tmp_path),)) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * WORKERS
    body = segment.render()[0].decode()
    for number in range(10):
        assert f'hits_total{{path="/{number}"}} {WORKERS * ROUNDS // 10}\n' in body
    assert f"wait_seconds_count {WORKERS * ROUNDS}\n" in body
    assert f"wait_seconds_sum {WORKERS * ROUNDS * 0.25:g}\n" in body


def test_metrics_made_before_a_fork_count_for_all(tmp_path: Path) -> None:
    segment = Segment("test", str(tmp_path))
    counter = Counter("hits", "Hits", ["path"], segment=segment)
    counter.labels("/").inc()
    for _ in range(3):
        pid = os.fork()
        if pid == 0:
            counter.labels("/").inc()
            counter.labels("/new").inc()
            os._exit(0)
        os.waitpid(pid, 0)
    body = segment.render()[0].decode()
    assert 'hits_total{path="/"} 4\n' in body
    assert 'hits_total{path="/new"} 3\n' in body


def test_totals_over_threads_are_exact(tmp_path: Path) -> None:
    threads = [threading.Thread(target=count_in, args=(str(tmp_path),)) for _ in range(WORKERS)]
    segment = Segment("test", str(tmp_path))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert f"wait_seconds_count {WORKERS * ROUNDS}\n" in segment.render()[0].decode()


def run_python(code: str, **environment: str) -> str:
    """The default segment belongs to a process, so each of these tests gets one of its own."""
    clean = {name: text for name, text in os.environ.items() if not name.startswith("REQTRAIL_")}
    return subprocess.run(
        [sys.executable, "-c", code], env=clean | environment, check=True, capture_output=True, text=True
    ).stdout


class TestTheDefaultSegment:
    def test_the_environment_says_where_it_is(self, tmp_path: Path) -> None:
        code = "from reqtrail.metrics import open_segment; print(open_segment().path)"
        assert run_python(code, REQTRAIL_METRICS_DIR=str(tmp_path)).strip() == str(tmp_path / "reqtrail.metrics")
        shown = run_python(code, REQTRAIL_METRICS_DIR=str(tmp_path), REQTRAIL_SERVICE="api").strip()
        assert shown == str(tmp_path / "api.metrics")

    def test_arguments_come_before_the_environment(self, tmp_path: Path) -> None:
        code = f"from reqtrail.metrics import open_segment; print(open_segment('api', {str(tmp_path)!r}).path)"
        shown = run_python(code, REQTRAIL_METRICS_DIR="/nonexistent/x", REQTRAIL_SERVICE="x").strip()
        assert shown == str(tmp_path / "api.metrics")

    def test_a_metric_may_be_made_before_it_is_opened(self, tmp_path: Path) -> None:
        code = (
            "from reqtrail.metrics import *\n"
            "hits = Counter('hits', 'Hits'); labelled = Counter('labelled', 'L', ['a'])\n"
            f"open_segment('api', {str(tmp_path)!r}); hits.inc(); labelled.labels('x').inc()\n"
            "print(render()[0].decode())"
        )
        shown = run_python(code, REQTRAIL_METRICS_DIR="/nonexistent/x")
        assert "hits_total 1\n" in shown
        assert 'labelled_total{a="x"} 1\n' in shown

    def test_the_first_use_opens_it(self, tmp_path: Path) -> None:
        code = (
            "from reqtrail.metrics import *\n"
            "idle = Counter('idle', 'I'); hits = Counter('hits', 'Hits'); hits.inc()\n"
            "print(render()[0].decode())"
        )
        shown = run_python(code, REQTRAIL_METRICS_DIR=str(tmp_path))
        assert "hits_total 1\n" in shown
        assert "idle_total 0\n" in shown

    def test_opening_it_again_elsewhere_is_an_error(self, tmp_path: Path) -> None:
        code = (
            "from reqtrail.metrics import open_segment\n"
            f"first = open_segment('api', {str(tmp_path)!r}); assert open_segment() is first\n"
            f"assert open_segment('api', {str(tmp_path)!r}) is first\n"
            "for other in (('worker', None), (None, '/tmp')):\n"
            "    try: open_segment(*other)\n"
            "    except RuntimeError as error: print(error)\n"
        )
        assert run_python(code).count("already open") == 2

    def test_without_any_setting_it_is_private(self) -> None:
        code = (
            "import os; from reqtrail.metrics import open_segment\n"
            "path = open_segment(f'test-{os.getpid()}').path\n"
            "print(path, oct(os.stat(os.path.dirname(path)).st_mode & 0o777))\n"
            "os.unlink(path); os.unlink(path.removesuffix('.metrics') + '.lock')"
        )
        directory = Path(f"/dev/shm/reqtrail-{os.geteuid()}")
        was_there = directory.exists()
        path, mode = run_python(code).split()
        if not was_there:
            with contextlib.suppress(OSError):  # somebody else has begun to use it
                directory.rmdir()
        assert Path(path).parent == directory
        assert mode == "0o700"


class TestAsgiApp:
    def get(self, segment: Segment, method: str = "GET", accept: bytes = b"") -> tuple[int, dict[bytes, bytes], bytes]:
        sent: list[MutableMapping[str, Any]] = []

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        scope: dict[str, Any] = {"type": "http", "method": method, "headers": [(b"accept", accept)] if accept else []}

        async def call() -> None:
            await asgi_app(segment=segment)(scope, receive, send)

        asyncio.run(call())
        return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]

    def test_it_answers_in_the_format_that_is_asked_for(self, tmp_path: Path) -> None:
        segment = Segment("test", str(tmp_path))
        status, headers, body = self.get(segment)
        assert (status, headers[b"content-type"]) == (200, b"text/plain; version=0.0.4; charset=utf-8")
        assert headers[b"content-length"] == str(len(body)).encode()
        status, headers, body = self.get(segment, accept=b"application/openmetrics-text; version=1.0.0")
        assert headers[b"content-type"] == b"application/openmetrics-text; version=1.0.0; charset=utf-8"
        assert body.endswith(b"# EOF\n")

    def test_head_has_no_body_and_post_is_not_allowed(self, tmp_path: Path) -> None:
        segment = Segment("test", str(tmp_path))
        status, headers, body = self.get(segment, "HEAD")
        assert (status, body) == (200, b"")
        assert int(headers[b"content-length"]) > 0
        assert self.get(segment, "POST")[0] == 405
