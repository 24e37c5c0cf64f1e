"""The options of `install` about what is recorded: which metrics, of which requests, and what is an error."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

import reqtrail
from reqtrail import metrics
from tests.pyext.asgi.driver import answer, call
from tests.pyext.asgi.recorded_app import answer_of, app_with


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
    app = app_with(**options)
    growth("http_requests_total")
    for _ in range(2):  # the second time the route is known
        assert "x-request-id" in answer_of(app, path).headers
    assert growth("http_requests_total") == 0
    assert access_lines() == []


@pytest.mark.parametrize("options", [{"skip_paths": ["health"]}, {"excluded_handlers": ["^/opts$"]}])
def test_what_does_not_match_is_recorded(
    growth: Callable[..., float], access_lines: Callable[[], list[str]], options: dict[str, Any]
) -> None:
    app = app_with(**options)
    growth("http_requests_total", handler="/opts/{name}")
    answer_of(app, "/opts/health")
    assert growth("http_requests_total", handler="/opts/{name}") == 1
    assert access_lines() == ["GET /opts/{name} 200"]


@pytest.mark.parametrize("options", [{}, {"skip_paths": ["/opts/.*"]}, {"excluded_handlers": ["/opts"]}])
@pytest.mark.parametrize(
    ("status", "count_4xx", "error_type"),
    [(503, False, "503"), (404, True, "404"), (404, False, None), (499, True, None), (200, True, None)],
)
def test_an_answer_with_an_error_counts_alike_wherever_it_comes_from(
    growth: Callable[..., float], options: dict[str, Any], status: int, count_4xx: bool, error_type: str | None
) -> None:
    app = app_with(**options, count_4xx=count_4xx)
    growth("opts_errors_total", endpoint="/opts/{name}")
    growth("opts_errors_total", endpoint="/opts/{name}", status_code=str(status), error_type=str(status))
    assert answer_of(app, f"/opts/{status}").status_code == status
    assert growth("opts_errors_total", endpoint="/opts/{name}") == (error_type is not None)
    as_status = growth("opts_errors_total", endpoint="/opts/{name}", status_code=str(status), error_type=str(status))
    assert as_status == (error_type is not None)


@pytest.mark.parametrize("options", [{"skip_paths": ["/opts/.*"]}, {"excluded_handlers": ["/opts"]}])
@pytest.mark.parametrize(
    ("name", "error_type", "lines"), [("boom", "ValueError", ["reqtrail.error"]), ("busy", "HTTPException", [])]
)
def test_an_error_of_a_noisy_endpoint_is_logged_and_counted_all_the_same(
    growth: Callable[..., float],
    access_lines: Callable[[], list[str]],
    caplog: pytest.LogCaptureFixture,
    options: dict[str, Any],
    name: str,
    error_type: str,
    lines: list[str],
) -> None:
    app = app_with(**options)
    growth("opts_errors_total", error_type=error_type)
    growth("http_requests_total")
    answer_of(app, f"/opts/{name}")
    assert growth("opts_errors_total", error_type=error_type) == 1
    assert growth("http_requests_total") == 0
    assert [record.name for record in caplog.records if record.levelno >= logging.ERROR] == lines
    assert access_lines() == []


def test_statuses_can_be_grouped(growth: Callable[..., float]) -> None:
    app = app_with(group_status_codes=True)
    for status in ("2xx", "4xx", "5xx"):
        growth("http_requests_total", handler="/opts/{name}", status=status)
    for name in ("a", "teapot", "boom"):
        answer_of(app, f"/opts/{name}")
    for status in ("2xx", "4xx", "5xx"):
        assert growth("http_requests_total", handler="/opts/{name}", status=status) == 1


@pytest.mark.parametrize(("count_4xx", "counted"), [(True, 1), (False, 0)])
def test_client_errors_count_as_errors_if_told_so(growth: Callable[..., float], count_4xx: bool, counted: int) -> None:
    app = app_with(count_4xx=count_4xx)
    wanted = {"/opts/{name}": "418", "__unmatched__": "404"}
    for endpoint, status in wanted.items():
        growth("opts_errors_total", endpoint=endpoint, status_code=status, error_type="HTTPException")
    answer_of(app, "/opts/teapot")
    answer_of(app, "/nowhere")
    for endpoint, status in wanted.items():
        grown = growth("opts_errors_total", endpoint=endpoint, status_code=status, error_type="HTTPException")
        assert grown == counted


@pytest.mark.parametrize("only", ["requests", "duration", "errors"])
def test_metrics_can_be_switched_off_one_by_one(growth: Callable[..., float], only: str) -> None:
    app = app_with(metrics=[only])
    names = {
        "requests": "http_requests_total",
        "duration": "http_request_duration_seconds_count",
        "errors": "opts_errors_total",
    }
    for name in names.values():
        growth(name)
    answer_of(app, "/opts/boom")
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


def test_a_bare_middleware_around_an_installed_application_takes_nothing_from_it(growth: Callable[..., float]) -> None:
    app = app_with()
    growth("http_requests_total", handler="/opts/{name}")
    response = TestClient(reqtrail.CorrelationIDMiddleware(app)).get("/opts/a", headers={"X-Request-ID": "given"})
    assert response.headers.get_list("x-request-id") == ["given"]
    assert growth("http_requests_total", handler="/opts/{name}") == 1


def test_an_installed_application_inside_of_another_is_recorded_once(growth: Callable[..., float]) -> None:
    inner = app_with()
    outer = Starlette(routes=[Mount("/inner", inner)])
    reqtrail.install(outer, log_level=None)
    growth("http_requests_total")
    assert TestClient(outer).get("/inner/opts/a").headers.get_list("x-request-id")
    assert growth("http_requests_total") == 1


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
