"""What is written of a request when it ends has its id and its traceparent, whatever the context has by then."""

import contextvars
import gc
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

import reqtrail
from reqtrail._native import traceparent_var
from tests.pyext.asgi.driver import Client, http_scope

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OF_OTHER = TRACEPARENT.replace("0af", "1af")
Lines = list[tuple[str, str | None, str | None]]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[Lines]:
    """The name of the logger, the id and the traceparent of each line of a request."""
    found: Lines = []

    def note(record: logging.LogRecord) -> bool:
        if record.name.startswith("reqtrail."):
            found.append((record.name, reqtrail.get_request_id(), reqtrail.get_traceparent()))
        return True

    caplog.set_level(logging.INFO, "reqtrail.access")
    caplog.handler.addFilter(note)
    yield found
    caplog.handler.removeFilter(note)


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI()
    reqtrail.install(app, log_level=None)

    @app.get("/inner")
    async def inner() -> None:
        reqtrail.set_request_id("INNER")
        traceparent_var.set(OF_OTHER)
        raise KeyError("of the handler")

    return app


class _Waiting:
    """Keeps what waits for it, so that a cycle can go through here."""

    waiter: Any = None

    def __await__(self) -> Any:
        yield


def _suspended(app: FastAPI, *headers: tuple[bytes, bytes]) -> Any:
    """A request AAA that waits in a context of its own."""

    async def waits(scope: Any, receive: Any, send: Any) -> None:
        await scope["waiting"]

    app.mount("/waits", waits)
    client, waiting = Client(), _Waiting()
    scope = http_scope([(b"x-request-id", b"AAA"), *headers], path="/waits/x", query_string=b"", waiting=waiting)
    waiting.waiter = app.build_middleware_stack()(scope, client.receive, client.send)
    contextvars.Context().run(waiting.waiter.send, None)
    return waiting


def _collect(suspended: list[Any]) -> None:
    suspended.clear()  # the last reference from outside of the cycle
    gc.collect()


def _close(suspended: list[Any]) -> None:
    suspended[0].waiter.close()


def _step(suspended: list[Any]) -> None:
    with pytest.raises(StopIteration):
        suspended[0].waiter.send(None)


def _in_another_request(suspended: list[Any], end: Callable[[list[Any]], None]) -> tuple[str | None, str | None]:
    """Ends the request while BBB runs, and returns what BBB has afterwards."""
    reqtrail.set_request_id("BBB")
    traceparent_var.set(OF_OTHER)
    end(suspended)
    return reqtrail.get_request_id(), reqtrail.get_traceparent()


@pytest.mark.parametrize("end", [_collect, _close, _step])
@pytest.mark.parametrize("traceparent", [None, TRACEPARENT])
def test_a_request_that_ends_while_another_runs_is_written_under_its_own_id(
    app: FastAPI, lines: Lines, end: Callable[[list[Any]], None], traceparent: str | None
) -> None:
    headers = [] if traceparent is None else [(b"traceparent", traceparent.encode())]
    suspended = [_suspended(app, *headers)]
    after = contextvars.copy_context().run(_in_another_request, suspended, end)
    assert lines == [("reqtrail.access", "AAA", traceparent)]
    assert after == ("BBB", OF_OTHER)


def test_behind_a_middleware_of_its_own_the_traceparent_is_still_known(app: FastAPI, lines: Lines) -> None:
    outer: Any = reqtrail.CorrelationIDMiddleware(app)
    TestClient(outer, raise_server_exceptions=False).get(
        "/inner", headers={"X-Request-ID": "CCC", "traceparent": TRACEPARENT}
    )
    assert lines == [("reqtrail.error", "CCC", TRACEPARENT), ("reqtrail.access", "CCC", TRACEPARENT)]


def test_an_id_that_a_failing_handler_has_set_is_not_that_of_its_request(app: FastAPI, lines: Lines) -> None:
    response = TestClient(app, raise_server_exceptions=False).get("/inner", headers={"X-Request-ID": "CCC"})
    assert response.headers["X-Request-ID"] == "CCC"
    assert response.json() == {"detail": "Internal server error", "request_id": "CCC"}
    assert lines == [("reqtrail.error", "CCC", None), ("reqtrail.access", "CCC", None)]


def test_an_exception_that_was_captured_under_an_id_of_the_handlers_own_is_not_logged_twice(
    app: FastAPI, lines: Lines
) -> None:
    @app.get("/captures")
    async def captures() -> None:
        reqtrail.set_request_id("INNER")
        try:
            raise KeyError("captured")
        except KeyError:
            reqtrail.capture_exception()
            raise

    TestClient(app, raise_server_exceptions=False).get("/captures", headers={"X-Request-ID": "CCC"})
    assert lines == [("reqtrail.error", "INNER", None), ("reqtrail.access", "CCC", None)]
