"""Exceptions that the application handles, and tells reqtrail of."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

import reqtrail
from tests.pyext.asgi.recorded_app import answer_of, app_with


def test_an_exception_that_is_handled_can_be_captured(
    growth: Callable[..., float], caplog: pytest.LogCaptureFixture
) -> None:
    app = app_with()

    @app.get("/captures/{name}")
    async def captures(name: str) -> str:
        try:
            raise KeyError("handled here")
        except KeyError:
            reqtrail.capture_exception(cart=5, name="taken")
        return "fine"

    labels = {"endpoint": "/captures/{name}", "status_code": "handled", "error_type": "KeyError"}
    growth("opts_errors_total", **labels)
    assert answer_of(app, "/captures/5").status_code == 200
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
    app = app_with()
    error = ValueError("twice")

    @app.get("/reraises")
    async def reraises() -> None:
        try:
            raise error
        except ValueError:
            reqtrail.capture_exception()
            raise

    growth("opts_errors_total", endpoint="/reraises", status_code="500")
    answer_of(app, "/reraises")
    assert [record.name for record in caplog.records if record.levelno >= logging.ERROR] == ["reqtrail.error"]
    answer_of(app, "/opts/boom")
    assert growth("opts_errors_total", endpoint="/reraises", status_code="500") == 1


def test_switched_off_it_is_logged_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("REQTRAIL_ENABLED", "false")
    app = FastAPI()
    reqtrail.install(app)

    @app.get("/captures-switched-off")
    async def captures() -> None:
        reqtrail.capture_exception(ValueError("given"))

    assert TestClient(app).get("/captures-switched-off").status_code == 200
    (record,) = [record for record in caplog.records if record.name == "reqtrail.error"]
    assert record.getMessage() == "captured ValueError"


def test_captured_by_one_request_it_is_news_in_the_next(caplog: pytest.LogCaptureFixture) -> None:
    app = app_with()
    error = ValueError("the same instance")

    @app.get("/shares/{capture}")
    async def shares(capture: bool) -> None:
        if not capture:
            raise error
        reqtrail.capture_exception(error)

    answer_of(app, "/shares/true")
    answer_of(app, "/shares/false")
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
