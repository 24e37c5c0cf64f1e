"""Series that are removed: in this process, in others, and while they are counted in."""

import gc
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from reqtrail import CorrelationIDMiddleware
from reqtrail._http_options import RecordOptions
from reqtrail._installation import recorder_of
from reqtrail.metrics import Counter, Enum, Gauge, Histogram, Info, Segment, Summary

OPENMETRICS = "application/openmetrics-text"


@pytest.fixture
def segment(tmp_path: Path) -> Segment:
    return Segment("test", str(tmp_path))


def shown(segment: Segment, name: str) -> list[str]:
    return [line for line in segment.render()[0].decode().splitlines() if line.startswith(name)]


def in_a_child(work: Callable[[], None]) -> None:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0


def test_a_child_that_is_held_makes_its_series_anew(segment: Segment) -> None:
    hits = Counter("hits", "Hits", ["path"], segment=segment)
    held = hits.labels("/")
    held.inc(5)
    hits.remove("/")
    assert shown(segment, "hits_total") == []
    held.inc(2)
    assert shown(segment, "hits_total") == ['hits_total{path="/"} 2']
    assert hits.labels("/") is not held
    hits.labels("/").inc()
    assert shown(segment, "hits_total") == ['hits_total{path="/"} 3']


@pytest.mark.parametrize(
    ("make", "use", "begin"),
    [
        (Counter, lambda child: child.inc(), "x_total"),
        (Gauge, lambda child: child.inc(), "x"),
        (Histogram, lambda child: child.observe(1), "x_count"),
        (Summary, lambda child: child.observe(1), "x_count"),
    ],
)
def test_what_one_process_removes_another_counts_from_zero(
    segment: Segment, make: Any, use: Callable[[Any], None], begin: str
) -> None:
    family = make("x", "X", ["a"], segment=segment)
    child = family.labels("1")
    for _ in range(3):
        use(child)
    in_a_child(lambda: family.remove("1"))
    assert shown(segment, begin + "{") == []
    use(child)
    assert shown(segment, begin + "{") == [f'{begin}{{a="1"}} 1']
    in_a_child(family.clear)
    assert shown(segment, begin + "{") == []
    use(family.labels("1"))
    assert shown(segment, begin + "{") == [f'{begin}{{a="1"}} 1']


def test_looking_labels_up_shows_a_removed_series_at_zero_again(segment: Segment) -> None:
    hits = Counter("hits", "Hits", ["path"], segment=segment)
    hits.labels("/").inc()
    in_a_child(hits.clear)
    hits.labels("/")
    assert shown(segment, "hits_total") == ['hits_total{path="/"} 0']


def test_removing_makes_room_under_the_cap(tmp_path: Path) -> None:
    segment = Segment("small", str(tmp_path), max_series=3)
    hits = Counter("hits", "Hits", ["job"], segment=segment)
    for job in range(50):
        hits.labels(job).inc()
        hits.remove(str(job))
    assert segment.series_dropped == 0
    assert segment.series == 0


def test_children_of_series_that_others_removed_are_let_go(tmp_path: Path) -> None:
    segment = Segment("small", str(tmp_path), max_series=10)
    hits = Counter("hits", "Hits", ["job"], segment=segment)
    other = Counter("hits", "Hits", ["job"], segment=segment)
    for job in range(1000):
        hits.labels(job).inc()
        other.clear()
    assert sum(type(thing) is Counter and thing._name == "hits" for thing in gc.get_objects()) < 30


def test_threads_may_count_in_what_is_removed(segment: Segment) -> None:
    hits = Counter("hits", "Hits", ["path"], segment=segment)
    stop = threading.Event()
    held = hits.labels("/")

    def count() -> None:
        while not stop.is_set():
            held.inc()
            hits.labels("/").inc()

    threads = [threading.Thread(target=count) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(500):
        hits.remove("/")
        hits.clear()
    stop.set()
    for thread in threads:
        thread.join()
    held.inc()
    assert len(shown(segment, "hits_total")) == 1


def test_enum_and_info_in_openmetrics(segment: Segment) -> None:
    phase = Enum("phase", "Phase", ["job"], states=["idle", "busy"], segment=segment)
    phase.labels("a").state("busy")
    Info("build", "Build", segment=segment).info({"version": "1", "path": 'a\\b"\n'})
    families: Any = read_openmetrics(segment.render(OPENMETRICS)[0].decode())  # type: ignore[no-untyped-call]  # untyped there
    families = {family.name: family for family in families}
    assert families["phase"].type == "stateset"
    assert {s.labels["phase"]: s.value for s in families["phase"].samples} == {"idle": 0, "busy": 1}
    assert families["build"].type == "info"
    assert families["build"].samples[0].labels == {"version": "1", "path": 'a\\b"\n'}
    in_a_child(lambda: Info("build", "Build", segment=segment).info({"version": "2"}))
    assert shown(segment, "build_info") == ['build_info{version="2"} 1']
    in_a_child(phase.clear)
    phase.labels("a").state("idle")
    assert shown(segment, "phase") == ['phase{job="a",phase="busy"} 0', 'phase{job="a",phase="idle"} 1']


def test_what_an_info_says_may_change_for_ever(tmp_path: Path) -> None:
    segment = Segment("small", str(tmp_path), capacity_bytes=1 << 20, max_series=100)
    info = Info("progress", "Progress", segment=segment)
    for number in range(300):
        info.info({"step": str(number)})
    assert shown(segment, "progress_info") == ['progress_info{step="299"} 1']
    assert segment.series == 1


def test_created_times_are_shown_on_request(segment: Segment) -> None:
    hits = Counter("hits", "Hits", ["a"], segment=segment)
    hits.labels("x").inc()
    Summary("size", "Size", segment=segment).observe(1)
    Histogram("wait", "Wait", segment=segment)
    Gauge("depth", "Depth", segment=segment)
    assert "_created" not in segment.render(OPENMETRICS)[0].decode() + segment.render()[0].decode()
    segment.show_created = True
    families: Any = read_openmetrics(segment.render(OPENMETRICS)[0].decode())  # type: ignore[no-untyped-call]  # untyped there
    created = {s.name: s.value for family in families for s in family.samples if s.name.endswith("_created")}
    assert set(created) == {"hits_created", "size_created", "wait_created"}
    assert all(abs(value - Path(segment.path).stat().st_mtime) < 3600 for value in created.values())
    assert len(shown(segment, "hits_created{")) == 1
    before = created["hits_created"]
    hits.remove("x")
    hits.labels("x").inc()
    (again,) = shown(segment, "hits_created{")
    assert float(again.split()[1]) >= before, "a series that was removed begins anew"


async def test_the_middleware_counts_anew_after_its_series_were_cleared(segment: Segment) -> None:
    route = Route("/items/{id}", lambda request: PlainTextResponse("ok"))

    async def application(scope: Any, receive: Any, send: Any) -> None:
        scope["route"] = route
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    async def nothing(*message: Any) -> Any:
        return {"type": "http.request"}

    starlette = Starlette(routes=[route])
    middleware = CorrelationIDMiddleware(application, _recorder=recorder_of(starlette, segment, RecordOptions("test")))

    async def request() -> None:
        scope = {"type": "http", "app": starlette, "method": "GET", "path": "/items/5", "root_path": "", "headers": []}
        await middleware({**scope, "query_string": b"", "state": {}}, nothing, nothing)

    await request()
    await request()
    in_a_child(Counter("http_requests", "Requests", ["method", "handler", "status"], segment=segment).clear)
    assert shown(segment, "http_requests_total") == []
    await request()
    await request()
    assert [line.split()[-1] for line in shown(segment, "http_requests_total")] == ["2"]
