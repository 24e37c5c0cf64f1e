"""The access line, the durations and the rejected ids."""

import asyncio
import logging
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

import reqtrail
from tests.pyext.asgi.conftest import Samples
from tests.pyext.asgi.driver import call


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI()
    reqtrail.install(app, log_level=None)
    app.add_api_route("/access/{number}", lambda number: number)
    return app


def _lines(caplog: pytest.LogCaptureFixture) -> list[Any]:
    return [record for record in caplog.records if record.name == "reqtrail.access"]


def test_a_request_leaves_one_line_with_its_route_and_never_its_query(
    app: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "reqtrail.access")
    ids: list[str | None] = []

    def note_id(record: logging.LogRecord) -> bool:
        ids.append(reqtrail.get_request_id())
        return True

    caplog.handler.addFilter(note_id)
    TestClient(app).get("/access/5?password=secret", headers={"X-Request-ID": "line"})
    TestClient(app).get("/secret-path", headers={"X-Request-ID": "line"})
    found, missing = _lines(caplog)
    assert found.getMessage() == "GET /access/{number} 200"
    assert (found.endpoint, found.method, found.status_code) == ("/access/{number}", "GET", 200)
    assert 0 < found.duration < 60
    assert missing.getMessage() == "GET __unmatched__ 404"
    assert "secret" not in caplog.text
    assert set(ids) == {"line"}


def test_the_level_of_the_access_logger_counts_at_once(app: FastAPI, caplog: pytest.LogCaptureFixture) -> None:
    client = TestClient(app)
    lines = []
    for level in (logging.INFO, logging.WARNING, logging.INFO):
        caplog.set_level(level, "reqtrail.access")
        client.get("/access/1")
        lines.append(len(_lines(caplog)))
    logging.disable(logging.INFO)
    client.get("/access/1")
    logging.disable(logging.NOTSET)
    client.get("/access/1")
    assert [*lines, len(_lines(caplog))] == [1, 1, 2, 3]


async def _sleeps_after_the_last_body(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"a", "more_body": True})
    await asyncio.sleep(0.05)
    await send({"type": "http.response.body", "body": b"b"})
    await asyncio.sleep(0.2)


def test_the_duration_ends_with_the_last_part_of_the_body(samples: Samples) -> None:
    app = FastAPI()
    reqtrail.install(app, log_level=None)
    app.mount("/duration", _sleeps_after_the_last_body)
    asyncio.run(call(app, path="/duration/x", query_string=b""))
    (total,) = samples("http_request_duration_seconds_sum", handler="/duration/{path}")
    (count,) = samples("http_request_duration_seconds_count", handler="/duration/{path}")
    assert count.value == 1
    assert 0.05 <= total.value < 0.2


def test_the_request_id_is_the_exemplar_of_count_and_duration(app: FastAPI, samples: Samples) -> None:
    @app.get("/exemplar")
    async def handler() -> None: ...

    for id_ in ("of-the-first", "exemplary"):  # the second time the series are known
        TestClient(app).get("/exemplar", headers={"X-Request-ID": id_})
    (count,) = samples("http_requests_total", handler="/exemplar")
    buckets = [s for s in samples("http_request_duration_seconds_bucket", handler="/exemplar") if s.exemplar]
    assert count.exemplar is not None
    assert count.exemplar.labels == {"request_id": "exemplary"}
    assert {"request_id": "exemplary"} in [b.exemplar and b.exemplar.labels for b in buckets]


def test_refused_ids_are_counted_and_appear_nowhere(
    app: FastAPI, samples: Samples, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "reqtrail")
    before = sum(s.value for s in samples("reqtrail_request_ids_rejected_total"))
    client = TestClient(app)
    response = client.get("/access/1", headers={"X-Request-ID": "evil value"})
    client.get("/access/1", headers=[("X-Request-ID", "evil-1"), ("X-Request-ID", "evil-2")])
    client.get("/access/1", headers={"X-Request-ID": "fine"})
    assert sum(s.value for s in samples("reqtrail_request_ids_rejected_total")) == before + 2
    assert "evil" not in str(response.headers) + caplog.text


def test_a_server_error_of_a_plain_asgi_application_that_answers_nothing_is_a_500(samples: Samples) -> None:
    async def silent(scope: Any, receive: Any, send: Any) -> None: ...

    app = FastAPI()
    reqtrail.install(app, log_level=None)
    app.mount("/silent", silent)
    asyncio.run(call(app, path="/silent/x", query_string=b""))
    assert [s.labels["status"] for s in samples("http_requests_total", handler="/silent/{path}")] == ["500"]
