"""The traceparent of a request in its tasks: by the hooks alone, and through a real worker."""

from collections.abc import Iterator
from typing import Any

import pytest
from celery import signals
from celery.app.task import Context
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

import reqtrail
from reqtrail._native import enter_task, inject_request_id, leave_task, traceparent_var
from reqtrail._task_hooks import hooks
from tests.worker_hooks import worker_app
from tests.worker_hooks.conftest import Worker, publish_raw
from tests.worker_hooks.test_trail_through_a_worker import WAIT

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACE = f"00-{TRACE_ID}-b7ad6b7169203331-01"
OTHER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
NONE = [None, "", "x", 7, b"x", ["x"], TRACE.upper(), TRACE + "\r\nx: y", TRACE[:-1], "\ud800", f" {TRACE}"]


@pytest.fixture
def current() -> Iterator[str]:
    """The traceparent of the request that the test works for."""
    token = traceparent_var.set(TRACE)
    yield TRACE
    traceparent_var.reset(token)


def published(headers: dict[str, Any]) -> dict[str, Any]:
    """The headers of a message, after the hook."""
    hooks.on_publish(headers=headers)
    return headers


def current_in(request: Context) -> tuple[str | None, str | None]:
    """The request id and the traceparent in a task."""
    before = reqtrail.get_traceparent()
    enter_task(request)
    inside = reqtrail.get_request_id(), reqtrail.get_traceparent()
    leave_task()
    assert reqtrail.get_traceparent() == before
    return inside


def test_a_publish_carries_the_current_one_as_it_is(current: str) -> None:
    headers = published({"id": "t"})
    assert headers["traceparent"] == current
    assert published(dict(headers)).keys() == headers.keys()


def test_a_publish_leaves_one_that_is_there(current: str) -> None:
    assert published({"traceparent": OTHER})["traceparent"] == OTHER


@pytest.mark.parametrize("bad", NONE)
def test_a_publish_replaces_what_is_none(current: str, bad: object) -> None:
    assert published({"traceparent": bad})["traceparent"] == current


@pytest.mark.parametrize("bad", NONE[1:])
def test_outside_of_a_request_what_is_none_is_not_published(bad: object) -> None:
    headers = published({"traceparent": bad, "root_id": "root-1"})
    assert "traceparent" not in headers
    assert headers["request_id"] == "root-1"
    assert "traceparent" not in published({})


@given(st.text() | st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?", fullmatch=True))
def test_nothing_but_a_traceparent_of_version_00_is_sent_on(text: str) -> None:
    sent = published({"traceparent": text}).get("traceparent")
    if sent is not None:
        flags = (
            text[53:55] if text.startswith("00") else f"0{int(text[54], 16) & 1}"
        )  # of others only the sampled one is known
        assert sent == f"00{text[2:53]}{flags}"
    assert current_in(Context({"traceparent": text}))[1] == sent


@pytest.mark.parametrize("first", ["reqtrail", "OpenTelemetry"])
def test_the_span_of_an_instrumentation_goes_before_ours(current: str, first: str) -> None:
    peer = CeleryInstrumentor()  # type: ignore[no-untyped-call]  # untyped there
    steps = [reqtrail.celery.install, lambda _: peer.instrument(tracer_provider=TracerProvider())]
    reqtrail.celery.uninstall(worker_app.app)
    for step in steps if first == "reqtrail" else reversed(steps):
        step(worker_app.app)
    try:
        headers: dict[str, Any] = {"id": "t", "task": worker_app.look.name}
        for signal in (signals.before_task_publish, signals.after_task_publish):
            signal.send(sender=worker_app.look.name, headers=headers, body=((), {}, {}), routing_key="celery")
    finally:
        peer.uninstrument()
        reqtrail.celery.uninstall(worker_app.app)
        reqtrail.celery.install(worker_app.app, queue_depth_interval=0.2)
    assert headers["traceparent"] != current
    assert len(headers["traceparent"]) == 55


def test_a_task_has_the_one_of_its_message(current: str) -> None:
    assert current_in(Context({"request_id": "r", "traceparent": OTHER})) == ("r", OTHER)
    assert current_in(Context({"request_id": "r", "headers": {"traceparent": OTHER}})) == ("r", OTHER)
    later = f"cc{OTHER[2:-2]}fe-what-the-future-holds"
    assert current_in(Context({"request_id": "r", "traceparent": later})) == ("r", OTHER)


@pytest.mark.parametrize("bad", NONE)
def test_a_task_without_one_has_none(current: str, bad: object) -> None:
    assert current_in(Context({"request_id": "r", "traceparent": bad})) == ("r", None)


def test_a_task_that_is_run_in_place_has_that_of_its_caller(current: str) -> None:
    eager = {"is_eager": True, "headers": {"traceparent": OTHER}}
    token = reqtrail.set_request_id("callers")
    assert current_in(Context(eager)) == ("callers", TRACE)
    reqtrail.reset_request_id(token)
    assert current_in(Context(eager)) == (OTHER[3:35], OTHER)


def test_without_a_request_id_the_trace_id_is_the_request_id() -> None:
    assert current_in(Context({"traceparent": TRACE, "root_id": "root-1"})) == (TRACE_ID, TRACE)
    headers: dict[str, object] = {"traceparent": TRACE, "root_id": "root-1"}
    inject_request_id(headers)
    assert headers["request_id"] == TRACE_ID
    assert current_in(Context({"traceparent": TRACE, "request_id": "r"})) == ("r", TRACE)


def test_nested_tasks_put_back_what_they_found() -> None:
    enter_task(Context({"traceparent": TRACE}))
    assert current_in(Context({"traceparent": OTHER}))[1] == OTHER
    assert current_in(Context({}))[1] is None
    assert reqtrail.get_traceparent() == TRACE
    leave_task()
    assert reqtrail.get_traceparent() is None


@pytest.fixture
def api() -> Iterator[TestClient]:
    """An application that publishes the task that is asked for, and answers with its id."""

    async def publish(request: Request) -> JSONResponse:
        task = getattr(worker_app, request.path_params["task"])
        return JSONResponse(task.apply_async(headers={"tenant": "7"}).id)

    app = Starlette(routes=[Route("/{task}", publish)])
    app.add_middleware(reqtrail.CorrelationIDMiddleware)
    with TestClient(app) as client:
        yield client


def asked(api: TestClient, task: str) -> Any:
    answer = api.get(f"/{task}", headers={"traceparent": TRACE, "X-Request-ID": f"trace-{task}"})
    return worker_app.app.AsyncResult(answer.json())


def test_a_task_of_a_request_has_its_traceparent_and_the_trace_id_on_its_lines(either: Worker, api: TestClient) -> None:
    result = asked(api, "look")
    seen = result.get(timeout=WAIT)
    assert (seen["current"], seen["traceparent"]) == ("trace-look", TRACE)
    [line] = either.lines_of(result.id)
    assert (line["request_id"], line["trace_id"]) == ("trace-look", TRACE_ID)
    own = [line for line in either.lines() if line["message"] == "looking" and line["request_id"] == "trace-look"]
    assert {line["trace_id"] for line in own} == {TRACE_ID}
    untraced = worker_app.look.delay()
    assert untraced.get(timeout=WAIT)["traceparent"] is None
    assert "trace_id" not in either.lines_of(untraced.id)[0]


def test_a_task_published_by_a_task_has_it_too(either: Worker, api: TestClient) -> None:
    inner = worker_app.app.AsyncResult(asked(api, "nested").get(timeout=WAIT))
    assert inner.get(timeout=WAIT)["traceparent"] == TRACE
    assert either.lines_of(inner.id)[0]["trace_id"] == TRACE_ID


@pytest.mark.parametrize("task", ["retried", "retried_by_itself"])
def test_a_retry_has_it_once(either: Worker, api: TestClient, task: str) -> None:
    result = asked(api, task)
    seen = result.get(timeout=WAIT)
    assert (seen["traceparent"], seen["retries"]) == (TRACE, 2)
    assert {"tenant": "7"}.items() <= seen["headers"].items()
    assert set(seen["headers"]) <= {"tenant", "traceparent", "request_id", "reqtrail_published_at"}
    assert [line["trace_id"] for line in either.lines_of(result.id, at_least=3)] == [TRACE_ID] * 3


def test_a_killed_process_leaves_it_to_the_line_of_the_main_process(either: Worker, api: TestClient) -> None:
    result = asked(api, "die")
    with pytest.raises(Exception, match=r"."):
        result.get(timeout=WAIT)
    [line] = either.lines_of(result.id)
    assert (line["state"], line["trace_id"]) == ("FAILURE", TRACE_ID)


@pytest.mark.parametrize("bad", ["x", TRACE.upper(), f"{TRACE}-more", 7])
def test_a_bad_one_from_the_broker_is_ignored_and_not_sent_on(either: Worker, bad: object) -> None:
    task_id = publish_raw(worker_app.retried.name, retries=0, request_id="bad-trace", traceparent=bad)
    seen = worker_app.app.AsyncResult(task_id).get(timeout=WAIT)
    assert (seen["current"], seen["traceparent"]) == ("bad-trace", None)
    assert "traceparent" not in (seen["headers"] or {})
    assert not any("trace_id" in line for line in either.lines_of(task_id, at_least=3))
