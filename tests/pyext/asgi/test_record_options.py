"""The options of `install` about what is recorded: which metrics, of which requests, and what is an error."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.testclient import TestClient

import reqtrail
from reqtrail import metrics
from tests.pyext.asgi.conftest import Samples
from tests.pyext.asgi.driver import answer, call


def _app(**options: Any) -> FastAPI:
    app = FastAPI()
    reqtrail.install(app, log_level=None, **{"namespace": "opts", **options})

    @app.get("/opts/{name}")
    async def item(name: str) -> str:
        if name == "boom":
            raise ValueError("boom")
        if name == "teapot":
            raise HTTPException(418)
        return name

    return app


def _get(app: FastAPI, path: str) -> Response:
    return TestClient(app, raise_server_exceptions=False).get(path)  # type: ignore[return-value]  # httpx's


def _total(samples: Samples, name: str, **labels: str) -> float:
    return sum(sample.value for sample in samples(name, **labels))


@pytest.fixture
def growth(samples: Samples) -> Callable[..., float]:
    """Returns by how much the sum of these samples has grown since it was first asked for."""
    before: dict[str, float] = {}

    def grown(name: str, **labels: str) -> float:
        now = _total(samples, name, **labels)
        return now - before.setdefault(f"{name}{labels}", now)

    return grown


@pytest.fixture
def access_lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.INFO, "reqtrail.access")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "reqtrail.access"]


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"skip_paths": ["/opts/he.*", "/other"]}, "/opts/health"),
        ({"skip_paths": ["/opts/health"]}, "/opts/health"),
        ({"excluded_handlers": ["^/opts/"]}, "/opts/other"),
        ({"excluded_handlers": ["nothing", "__unmatched__"]}, "/nowhere"),
    ],
)
def test_a_noisy_endpoint_has_an_id_but_neither_metrics_nor_access_lines(
    growth: Callable[..., float], access_lines: Callable[[], list[str]], options: dict[str, Any], path: str
) -> None:
    app = _app(**options)
    growth("http_requests_total")
    for _ in range(2):  # the second time the route is known
        assert "x-request-id" in _get(app, path).headers
    assert growth("http_requests_total") == 0
    assert access_lines() == []


@pytest.mark.parametrize("options", [{"skip_paths": ["health"]}, {"excluded_handlers": ["^/opts$"]}])
def test_what_does_not_match_is_recorded(
    growth: Callable[..., float], access_lines: Callable[[], list[str]], options: dict[str, Any]
) -> None:
    app = _app(**options)
    growth("http_requests_total", handler="/opts/{name}")
    _get(app, "/opts/health")
    assert growth("http_requests_total", handler="/opts/{name}") == 1
    assert access_lines() == ["GET /opts/{name} 200"]


@pytest.mark.parametrize("options", [{"skip_paths": ["/opts/boom"]}, {"excluded_handlers": ["/opts"]}])
def test_an_error_of_a_noisy_endpoint_is_logged_and_counted_all_the_same(
    growth: Callable[..., float], caplog: pytest.LogCaptureFixture, options: dict[str, Any]
) -> None:
    app = _app(**options)
    growth("opts_errors_total", error_type="ValueError")
    growth("http_requests_total")
    _get(app, "/opts/boom")
    assert growth("opts_errors_total", error_type="ValueError") == 1
    assert growth("http_requests_total") == 0
    assert [record.name for record in caplog.records if record.levelno >= logging.ERROR] == ["reqtrail.error"]


def test_statuses_can_be_grouped(growth: Callable[..., float]) -> None:
    app = _app(group_status_codes=True)
    for status in ("2xx", "4xx", "5xx"):
        growth("http_requests_total", handler="/opts/{name}", status=status)
    for name in ("a", "teapot", "boom"):
        _get(app, f"/opts/{name}")
    for status in ("2xx", "4xx", "5xx"):
        assert growth("http_requests_total", handler="/opts/{name}", status=status) == 1


@pytest.mark.parametrize(("count_4xx", "counted"), [(True, 1), (False, 0)])
def test_client_errors_count_as_errors_if_told_so(growth: Callable[..., float], count_4xx: bool, counted: int) -> None:
    app = _app(count_4xx=count_4xx)
    wanted = {"/opts/{name}": "418", "__unmatched__": "404"}
    for endpoint, status in wanted.items():
        growth("opts_errors_total", endpoint=endpoint, status_code=status, error_type="HTTPException")
    _get(app, "/opts/teapot")
    _get(app, "/nowhere")
    for endpoint, status in wanted.items():
        grown = growth("opts_errors_total", endpoint=endpoint, status_code=status, error_type="HTTPException")
        assert grown == counted


@pytest.mark.parametrize("only", ["requests", "duration", "errors"])
def test_metrics_can_be_switched_off_one_by_one(growth: Callable[..., float], only: str) -> None:
    app = _app(metrics=[only])
    names = {
        "requests": "http_requests_total",
        "duration": "http_request_duration_seconds_count",
        "errors": "opts_errors_total",
    }
    for name in names.values():
        growth(name)
    _get(app, "/opts/boom")
    assert {key: growth(name) for key, name in names.items()} == {key: int(key == only) for key in names}


def test_buckets_are_those_that_were_asked_for(tmp_path: Path) -> None:
    segment = metrics.Segment("buckets", str(tmp_path))
    app = FastAPI()
    from reqtrail._http_options import METRICS, record_options
    from reqtrail._installation import recorder_of

    options = record_options(
        namespace="opts",
        buckets=[0.5, 2, float("inf")],
        metrics=METRICS,
        group_status_codes=False,
        count_4xx=False,
        excluded_handlers=(),
        skip_paths=(),
    )
    recorded = reqtrail.CorrelationIDMiddleware(_answer, _recorder=recorder_of(app, segment, options))
    asyncio.run(call(recorded))
    text = segment.render()[0].decode()
    bounds = [line.split('le="')[1].split('"')[0] for line in text.splitlines() if "seconds_bucket" in line]
    assert bounds == ["0.5", "2.0", "+Inf"]
    with pytest.raises(ValueError, match="http_request_duration_seconds"):
        recorder_of(app, segment, options._replace(buckets=(1.0,)))


async def _answer(scope: Any, receive: Any, send: Any) -> None:
    await answer(send)


# ---- requests in progress ----


async def _waits(app: FastAPI, path: str) -> tuple[asyncio.Task[Any], asyncio.Event]:
    """A request that waits inside of its handler."""
    entered, go_on = asyncio.Event(), asyncio.Event()
    app.state.wait = (entered, go_on)
    task = asyncio.create_task(call(app, path=path, query_string=b""))
    await entered.wait()
    await asyncio.sleep(0)
    return task, go_on


def _waiting_app(**options: Any) -> FastAPI:
    app = _app(**options)

    @app.get("/waits/{name}")
    async def waits(name: str) -> None:
        entered, go_on = app.state.wait
        entered.set()
        await go_on.wait()

    return app


@pytest.mark.parametrize("end", ["answer", "cancel"])
async def test_a_request_that_waits_is_in_progress_until_it_ends(samples: Samples, end: str) -> None:
    app = _waiting_app()
    handler = {"handler": "/waits/{name}"}
    assert _total(samples, "http_requests_inprogress", **handler) == 0
    task, go_on = await _waits(app, "/waits/5")
    assert [sample.labels["method"] for sample in samples("http_requests_inprogress", **handler)] == ["GET"]
    assert _total(samples, "http_requests_inprogress", **handler) == 1
    if end == "answer":
        go_on.set()
        await task
    else:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert _total(samples, "http_requests_inprogress") == 0


async def test_it_is_counted_under_its_route_as_soon_as_that_is_known(samples: Samples) -> None:
    class Slow:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await asyncio.sleep(0)
            seen.append(_total(samples, "http_requests_inprogress", handler="__unmatched__"))
            await self.app(scope, receive, send)

    seen: list[float] = []
    app = _waiting_app()
    app.add_middleware(Slow)
    task, go_on = await _waits(app, "/waits/5")
    assert seen == [1]
    assert _total(samples, "http_requests_inprogress", handler="__unmatched__") == 0
    assert _total(samples, "http_requests_inprogress", handler="/waits/{name}") == 1
    go_on.set()
    await task
    assert _total(samples, "http_requests_inprogress") == 0


@pytest.mark.parametrize(
    "options", [{"metrics": ["requests"]}, {"skip_paths": ["/waits/.*"]}, {"excluded_handlers": ["waits"]}]
)
async def test_a_request_that_is_not_to_be_recorded_is_not_in_progress(
    samples: Samples, options: dict[str, Any]
) -> None:
    app = _waiting_app(**options)
    task, go_on = await _waits(app, "/waits/5")
    assert _total(samples, "http_requests_inprogress") == 0
    go_on.set()
    await task


# ---- capture_exception ----


def test_an_exception_that_is_handled_can_be_captured(
    growth: Callable[..., float], caplog: pytest.LogCaptureFixture
) -> None:
    app = _app()

    @app.get("/captures/{name}")
    async def captures(name: str) -> str:
        try:
            raise KeyError("handled here")
        except KeyError:
            reqtrail.capture_exception(cart=5, name="taken")
        return "fine"

    labels = {"endpoint": "/captures/{name}", "status_code": "handled", "error_type": "KeyError"}
    growth("opts_errors_total", **labels)
    assert _get(app, "/captures/5").status_code == 200
    assert growth("opts_errors_total", **labels) == 1
    (record,) = [record for record in caplog.records if record.name == "reqtrail.error"]
    assert record.getMessage() == "GET /captures/{name}: captured KeyError"
    assert (record.funcName, record.levelname) == ("captures", "ERROR")
    fields = record.__dict__
    assert (fields["cart"], fields["extra_name"], fields["error_message"]) == (5, "taken", "'handled here'")
    assert "raise KeyError" in (record.exc_text or "")


def test_outside_of_a_request_it_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    reqtrail.capture_exception(ValueError("given"))
    assert [record.getMessage() for record in caplog.records] == ["captured ValueError"]


def test_a_captured_exception_that_is_raised_again_is_logged_once_and_counted(
    growth: Callable[..., float], caplog: pytest.LogCaptureFixture
) -> None:
    app = _app()
    error = ValueError("twice")

    @app.get("/reraises")
    async def reraises() -> None:
        try:
            raise error
        except ValueError:
            reqtrail.capture_exception()
            raise

    growth("opts_errors_total", endpoint="/reraises", status_code="500")
    _get(app, "/reraises")
    assert [record.name for record in caplog.records if record.levelno >= logging.ERROR] == ["reqtrail.error"]
    _get(app, "/opts/boom")
    assert growth("opts_errors_total", endpoint="/reraises", status_code="500") == 1


def test_captured_by_one_request_it_is_news_in_the_next(caplog: pytest.LogCaptureFixture) -> None:
    app = _app()
    error = ValueError("the same instance")

    @app.get("/shares/{capture}")
    async def shares(capture: bool) -> None:
        if not capture:
            raise error
        reqtrail.capture_exception(error)

    _get(app, "/shares/true")
    _get(app, "/shares/false")
    lines = [record.getMessage() for record in caplog.records if record.name == "reqtrail.error"]
    assert lines == ["GET /shares/{capture}: captured ValueError", "GET /shares/{capture} 500: unhandled ValueError"]


@pytest.mark.parametrize("error", [None, 5, "text"])
def test_capturing_what_is_no_exception_harms_nobody(
    growth: Callable[..., float], monkeypatch: pytest.MonkeyPatch, error: Any
) -> None:
    monkeypatch.setattr("reqtrail._faults._logged", set())
    growth("reqtrail_faults_total", where="capture_exception")
    reqtrail.capture_exception(error)
    assert growth("reqtrail_faults_total", where="capture_exception") == 1


# ---- nested applications and middlewares ----


def test_a_bare_middleware_around_an_installed_application_takes_nothing_from_it(growth: Callable[..., float]) -> None:
    app = _app()
    growth("http_requests_total", handler="/opts/{name}")
    response = TestClient(reqtrail.CorrelationIDMiddleware(app)).get("/opts/a", headers={"X-Request-ID": "given"})
    assert response.headers.get_list("x-request-id") == ["given"]
    assert growth("http_requests_total", handler="/opts/{name}") == 1


def test_an_installed_application_inside_of_another_is_recorded_once(growth: Callable[..., float]) -> None:
    inner = _app()
    outer = Starlette(routes=[Mount("/inner", inner)])
    reqtrail.install(outer, log_level=None)
    growth("http_requests_total")
    assert TestClient(outer).get("/inner/opts/a").headers.get_list("x-request-id")
    assert growth("http_requests_total") == 1


# ---- wrong options ----


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"skip_paths": "/health"}, TypeError, "skip_paths must be a collection of str, not one str"),
        ({"skip_paths": 5}, TypeError, "skip_paths must be a collection of str, not 5"),
        ({"excluded_handlers": [5]}, TypeError, "excluded_handlers must be a collection of str"),
        ({"skip_paths": ["/health("]}, ValueError, "skip_paths must be regular expressions, and '/health.' is none"),
        ({"buckets": [1, 0.5]}, ValueError, "buckets must be .* and ascend"),
        ({"buckets": []}, ValueError, "buckets must be at least one"),
        ({"buckets": [float("nan")]}, ValueError, "buckets must be"),
        ({"buckets": "fast"}, TypeError, "buckets must be numbers"),
        ({"buckets": 5}, TypeError, "buckets must be numbers"),
        ({"metrics": ["request"]}, ValueError, "metrics has no 'request': there are requests, duration"),
        ({"group_status_codes": "yes"}, TypeError, "group_status_codes must be a bool"),
        ({"count_4xx": 1}, TypeError, "count_4xx must be a bool"),
        ({"enabled": "false"}, TypeError, "enabled must be a bool"),
        ({"skip_path": []}, TypeError, "skip_path"),
    ],
)
def test_a_wrong_option_is_refused_and_told_what_is_right(
    options: dict[str, Any], error: type[Exception], says: str
) -> None:
    app = FastAPI()
    with pytest.raises(error, match=says):
        reqtrail.install(app, log_level=None, **options)
    assert "x-request-id" not in TestClient(app).get("/").headers


def test_enabled_false_does_nothing() -> None:
    app = FastAPI()
    reqtrail.install(app, enabled=False)
    assert "x-request-id" not in TestClient(app).get("/").headers


def test_a_switch_that_is_neither_on_nor_off_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQTRAIL_ENABLED", "flase")
    with pytest.raises(ValueError, match=r"REQTRAIL_ENABLED must be true or false .*, not 'flase'"):
        reqtrail.install(FastAPI())


def test_behind_a_base_http_middleware_nothing_stays_in_progress(samples: Samples) -> None:
    async def dispatch(request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)

    app = _app()
    app.add_middleware(BaseHTTPMiddleware, dispatch=dispatch)
    assert _get(app, "/opts/a").status_code == 200
    assert _get(app, "/opts/boom").status_code == 500
    assert _total(samples, "http_requests_inprogress") == 0
