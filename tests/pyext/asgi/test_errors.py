"""What an exception leaves behind: an answer, one line, one count, and the exception itself for the server."""

import asyncio
import builtins
import logging
import sys
from collections.abc import AsyncIterator, Callable
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from fastapi import FastAPI, HTTPException, WebSocket
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.testclient import TestClient

import reqtrail
from reqtrail import _faults
from tests.pyext.asgi.conftest import Samples
from tests.pyext.asgi.driver import Client, call, http_scope

GIVEN = {"X-Request-ID": "failed-request"}


class OurError(Exception):
    def __init__(self) -> None:
        super().__init__("of ours")


class _UnprintableError(Exception):
    __slots__ = ()

    def __str__(self) -> str:
        raise RuntimeError("no text")

    def __setattr__(self, name: str, value: object) -> None:
        raise RuntimeError("immutable")


class _NoExceptionError(BaseException):
    pass


_BASE_GROUP: Any = getattr(builtins, "BaseExceptionGroup", None) or import_module("exceptiongroup").BaseExceptionGroup
_NO_EXCEPTIONS = [
    SystemExit(1),
    KeyboardInterrupt(),
    _NoExceptionError(),
    _BASE_GROUP("an error beside a cancellation", [ValueError(), asyncio.CancelledError()]),
]
_CANCELLATIONS = [
    asyncio.CancelledError(),
    GeneratorExit(),
    _BASE_GROUP("two levels", [GeneratorExit(), _BASE_GROUP("the inner one", [asyncio.CancelledError()])]),
]


def _name(error: BaseException) -> str:
    return type(error).__name__


@pytest.fixture
def app(request: pytest.FixtureRequest) -> FastAPI:
    app = FastAPI()
    reqtrail.install(app, log_level=None, namespace="errtest")
    return app


def _fail_with(app: FastAPI, path: str, error: BaseException) -> None:
    @app.get(path)
    async def handler() -> None:
        raise error


def _get(app: FastAPI, path: str) -> Any:
    return TestClient(app, raise_server_exceptions=False).get(path, headers=GIVEN)


def _errors(caplog: pytest.LogCaptureFixture) -> list[Any]:
    return [record for record in caplog.records if record.levelno >= logging.ERROR]


def _counts(samples: Samples, endpoint: str) -> dict[tuple[str, str], float]:
    found = samples("errtest_errors_total", endpoint=endpoint)
    return {(s.labels["status_code"], s.labels["error_type"]): s.value for s in found}


def _statuses(samples: Samples, handler: str) -> dict[str, float]:
    return {s.labels["status"]: s.value for s in samples("http_requests_total", handler=handler)}


def test_an_unhandled_exception_is_answered_logged_and_counted_once(
    app: FastAPI, samples: Samples, caplog: pytest.LogCaptureFixture
) -> None:
    ids: list[str | None] = []

    class IdOfLine(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            ids.append(reqtrail.get_request_id())
            return True

    of_line = IdOfLine()
    logging.getLogger("reqtrail.error").addFilter(of_line)
    _fail_with(app, "/unhandled/{id}", OurError())
    response = _get(app, "/unhandled/5")
    logging.getLogger("reqtrail.error").removeFilter(of_line)
    assert response.status_code == 500
    assert response.json() == {"detail": "Internal server error", "request_id": "failed-request"}
    assert response.headers.get_list("x-request-id") == ["failed-request"]
    (record,) = _errors(caplog)
    assert (record.name, record.error_type, record.error_message) == ("reqtrail.error", "OurError", "of ours")
    assert (record.endpoint, record.method, record.status_code) == ("/unhandled/{id}", "GET", 500)
    assert 0 < record.duration < 60
    assert "raise error" in (record.exc_text or "")
    assert ids == ["failed-request"]
    assert _counts(samples, "/unhandled/{id}") == {("500", "OurError"): 1}
    assert _statuses(samples, "/unhandled/{id}") == {"500": 1}
    (sample,) = samples("errtest_errors_total", endpoint="/unhandled/{id}")
    assert sample.exemplar is not None
    assert sample.exemplar.labels == {"request_id": "failed-request"}


def test_the_exception_reaches_the_server_unchanged(app: FastAPI) -> None:
    error = OurError()
    _fail_with(app, "/reaches", error)
    with pytest.raises(OurError) as raised:
        TestClient(app).get("/reaches")
    assert raised.value is error


@pytest.mark.parametrize("key", [Exception, 500])
def test_a_handler_of_the_application_for_all_exceptions_answers_and_the_error_is_counted(
    app: FastAPI, samples: Samples, caplog: pytest.LogCaptureFixture, key: Any
) -> None:
    path = f"/all/{key}"
    _fail_with(app, path, OurError())

    @app.exception_handler(key)
    async def everything(request: Request, exc: Exception) -> Response:
        return JSONResponse({"mine": request.state.request_id}, status_code=500)

    response = _get(app, path)
    assert response.json() == {"mine": "failed-request"}
    assert response.headers["x-request-id"] == "failed-request"
    assert [record.name for record in _errors(caplog)] == ["reqtrail.error"]
    assert _counts(samples, path) == {("500", "OurError"): 1}


def test_a_handler_of_the_application_for_one_exception_answers_and_its_5xx_is_counted(
    app: FastAPI, samples: Samples, caplog: pytest.LogCaptureFixture
) -> None:
    _fail_with(app, "/handled-as-503", OurError())
    _fail_with(app, "/handled-as-409", KeyError("x"))
    app.add_exception_handler(OurError, lambda request, error: PlainTextResponse("later", status_code=503))
    app.add_exception_handler(KeyError, lambda request, error: PlainTextResponse("conflict", status_code=409))
    assert (_get(app, "/handled-as-503").text, _get(app, "/handled-as-409").text) == ("later", "conflict")
    assert _errors(caplog) == []
    assert _counts(samples, "/handled-as-503") == {("503", "OurError"): 1}
    assert _counts(samples, "/handled-as-409") == {}


def test_5xx_answers_are_counted_under_the_exception_or_the_status(app: FastAPI, samples: Samples) -> None:
    _fail_with(app, "/http-exception", HTTPException(502, "bad gateway"))
    _fail_with(app, "/http-exception-of-starlette", StarletteHTTPException(504))
    app.add_api_route("/returned", lambda: Response(status_code=503))
    for path in ("/http-exception", "/http-exception-of-starlette", "/returned"):
        _get(app, path)
    assert _counts(samples, "/http-exception") == {("502", "HTTPException"): 1}
    assert _counts(samples, "/http-exception-of-starlette") == {("504", "HTTPException"): 1}
    assert _counts(samples, "/returned") == {("503", "503"): 1}


def test_an_exception_that_the_caller_is_handling_is_not_taken_for_the_cause(app: FastAPI, samples: Samples) -> None:
    app.add_api_route("/called-while-handling", lambda: Response(status_code=503))
    try:
        raise KeyError("of the caller")
    except KeyError:
        assert asyncio.run(call(app, path="/called-while-handling", query_string=b"")).status == 503
    assert _counts(samples, "/called-while-handling") == {("503", "503"): 1}


def test_debug_answers_stay_as_they_are(samples: Samples, caplog: pytest.LogCaptureFixture) -> None:
    app = FastAPI(debug=True)
    reqtrail.install(app, log_level=None, namespace="errtest")
    _fail_with(app, "/debug", OurError())
    response = _get(app, "/debug")
    assert "Traceback" in response.text
    assert response.headers["x-request-id"] == "failed-request"
    assert _counts(samples, "/debug") == {("500", "OurError"): 1}


def test_an_exception_after_the_response_began_is_logged_with_the_status_that_was_sent(
    app: FastAPI, samples: Samples, caplog: pytest.LogCaptureFixture
) -> None:
    @app.get("/half")
    async def half() -> StreamingResponse:
        async def parts() -> AsyncIterator[str]:
            yield "half "
            raise OurError

        return StreamingResponse(parts())

    _get(app, "/half")
    assert [record.status_code for record in _errors(caplog)] == [200]
    assert _counts(samples, "/half") == {("200", "OurError"): 1}


def test_behind_a_base_http_middleware_an_error_is_still_one_line_and_one_count(
    app: FastAPI, samples: Samples, caplog: pytest.LogCaptureFixture
) -> None:
    async def dispatch(request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)

    app.add_middleware(BaseHTTPMiddleware, dispatch=dispatch)
    _fail_with(app, "/behind", OurError())
    assert _get(app, "/behind").json()["request_id"] == "failed-request"
    assert len(_errors(caplog)) == 1
    assert _counts(samples, "/behind") == {("500", "OurError"): 1}


def test_an_exception_group_reaches_the_server_whole_and_is_counted_as_one(
    app: FastAPI, samples: Samples, caplog: pytest.LogCaptureFixture
) -> None:
    @app.get("/group")
    async def group() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_raise_ours)
            raise KeyError("beside it")

    with pytest.raises(Exception, match="unhandled errors") as raised:
        TestClient(app).get("/group")
    assert [type(error) for error in raised.value.exceptions] == [KeyError, OurError]  # type: ignore[attr-defined]
    assert _counts(samples, "/group") == {("500", "ExceptionGroup"): 1}
    (record,) = _errors(caplog)
    assert "OurError: of ours" in (record.exc_text or "")


async def _raise_ours() -> None:
    raise OurError


def _raise_in(app: FastAPI, error: BaseException, scope: Any) -> None:
    """A request in which this is raised, step by step: it may be one that ends an event loop."""
    _fail_with(app, scope["path"], error)

    @app.websocket(scope["path"])
    async def socket(socket: WebSocket) -> None:
        raise error

    client = Client()
    with pytest.raises(type(error)) as raised:
        app(scope, client.receive, client.send).send(None)
    assert raised.value is error


@pytest.mark.parametrize("error", _NO_EXCEPTIONS, ids=_name)
def test_an_error_that_is_no_exception_is_an_error_all_the_same(
    app: FastAPI, samples: Samples, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    path, name = f"/no-exception/{_name(error)}", type(error).__name__
    _raise_in(app, error, http_scope(path=path, query_string=b""))
    (record,) = _errors(caplog)
    assert (record.name, record.error_type, record.status_code) == ("reqtrail.error", name, 500)
    assert "raise error" in (record.exc_text or "")
    assert _counts(samples, path) == {("500", name): 1}
    assert _statuses(samples, path) == {"500": 1}
    assert not _server_says(caplog, error)


@pytest.mark.parametrize(("error", "lines"), [(e, 1) for e in _NO_EXCEPTIONS] + [(e, 0) for e in _CANCELLATIONS])
def test_a_websocket_ends_in_an_error_or_is_cancelled(
    app: FastAPI, samples: Samples, caplog: pytest.LogCaptureFixture, error: BaseException, lines: int
) -> None:
    path = f"/ws/no-exception/{_name(error)}/{lines}"
    scope = http_scope(path=path, query_string=b"", subprotocols=[]) | {"type": "websocket"}
    _raise_in(app, error, scope)
    assert [record.method for record in _errors(caplog)] == ["WEBSOCKET"] * lines
    assert list(_counts(samples, path)) == [("500", type(error).__name__)] * lines


@pytest.mark.parametrize("error", _CANCELLATIONS, ids=_name)
def test_a_cancelled_request_is_a_499_and_no_error(
    app: FastAPI, samples: Samples, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    path = f"/cancelled/{_name(error)}"
    _fail_with(app, path, error)

    with pytest.raises(type(error)):
        asyncio.run(call(app, path=path, query_string=b""))
    assert _errors(caplog) == []
    assert _counts(samples, path) == {}
    assert _statuses(samples, path) == {"499": 1}


def test_a_cancellation_of_trio_is_a_499_and_no_error(
    app: FastAPI, samples: Samples, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Cancelled(BaseException):
        pass

    monkeypatch.setitem(sys.modules, "trio", SimpleNamespace(Cancelled=Cancelled))
    _raise_in(app, _BASE_GROUP("", [Cancelled()]), http_scope(path="/cancelled/trio", query_string=b""))
    assert _errors(caplog) == []
    assert _statuses(samples, "/cancelled/trio") == {"499": 1}


def test_a_client_that_went_away_is_a_499_and_no_error(
    app: FastAPI, samples: Samples, caplog: pytest.LogCaptureFixture
) -> None:
    _fail_with(app, "/went-away", ClientDisconnect())
    _get(app, "/went-away")
    assert _errors(caplog) == []
    assert _counts(samples, "/went-away") == {}
    assert _statuses(samples, "/went-away") == {"499": 1}


def test_an_error_of_a_websocket_is_logged_and_counted(
    app: FastAPI, samples: Samples, caplog: pytest.LogCaptureFixture
) -> None:
    @app.websocket("/ws/accepted/{x}")
    async def accepted(socket: WebSocket) -> None:
        await socket.accept()
        raise OurError

    @app.websocket("/ws/refused")
    async def refused(socket: WebSocket) -> None:
        raise OurError

    client = TestClient(app)
    for path in ("/ws/accepted/5", "/ws/refused"):
        with pytest.raises(OurError), client.websocket_connect(path):
            pass
    assert [record.method for record in _errors(caplog)] == ["WEBSOCKET", "WEBSOCKET"]
    assert _counts(samples, "/ws/accepted/{x}") == {("1011", "OurError"): 1}
    assert _counts(samples, "/ws/refused") == {("500", "OurError"): 1}


@pytest.mark.parametrize("error", [_UnprintableError(), OSError(5, "x"), KeyError("\ud800")])
def test_no_exception_is_too_odd_for_the_error_path(
    app: FastAPI, samples: Samples, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    path = f"/odd/{type(error).__name__}"
    _fail_with(app, path, error)
    assert _get(app, path).status_code == 500
    assert len(_errors(caplog)) == 1
    assert _counts(samples, path) == {("500", type(error).__name__): 1}


def _server_says(caplog: pytest.LogCaptureFixture, error: BaseException, logger: str = "uvicorn.error") -> bool:
    """Whether a server's record about this exception gets through."""
    caplog.clear()
    logging.getLogger(logger).error("Exception in ASGI application\n", exc_info=error)
    return bool(caplog.records)


@pytest.mark.parametrize("logger", ["uvicorn.error", "gunicorn.error", "hypercorn.error"])
def test_the_server_does_not_log_the_same_exception_again_but_does_log_others(
    app: FastAPI, caplog: pytest.LogCaptureFixture, logger: str
) -> None:
    error = OurError()
    _fail_with(app, "/logged", error)
    _get(app, "/logged")
    assert not _server_says(caplog, error, logger)
    assert _server_says(caplog, OurError(), logger)
    assert _server_says(caplog, error, logger)


def test_where_the_error_line_is_switched_off_the_server_logs(app: FastAPI, caplog: pytest.LogCaptureFixture) -> None:
    error = OurError()
    _fail_with(app, "/switched-off", error)
    logging.getLogger("reqtrail.error").disabled = True
    try:
        _get(app, "/switched-off")
        assert _server_says(caplog, error)
    finally:
        logging.getLogger("reqtrail.error").disabled = False


@pytest.fixture
def breaks(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes a logger of ours raise."""

    def break_logger(name: str) -> None:
        monkeypatch.setattr(_faults, "_logged", set())
        monkeypatch.setattr(logging.getLogger(name), "handle", _raise)

    def _raise(record: logging.LogRecord) -> None:
        raise OSError("the disk is full")

    return break_logger


@pytest.mark.parametrize(
    ("logger", "where", "path"), [("reqtrail.access", "access line", "/fine"), ("reqtrail.error", "error line", "/bad")]
)
def test_a_fault_of_the_instrument_is_counted_logged_once_and_harms_no_request(
    app: FastAPI,
    samples: Samples,
    caplog: pytest.LogCaptureFixture,
    breaks: Callable[[str], None],
    logger: str,
    where: str,
    path: str,
) -> None:
    app.add_api_route("/fine", lambda: 1)
    _fail_with(app, "/bad", OurError())
    caplog.set_level(logging.INFO)
    breaks(logger)
    before = sum(s.value for s in samples("reqtrail_faults_total", where=where))
    assert [_get(app, path).status_code for _ in range(3)] == [200 if path == "/fine" else 500] * 3
    assert sum(s.value for s in samples("reqtrail_faults_total", where=where)) == before + 3
    assert [record.getMessage().count(where) for record in caplog.records if record.name == "reqtrail"] == [1]


def test_an_error_whose_line_cannot_be_written_is_counted_and_the_server_logs_it(
    app: FastAPI, samples: Samples, caplog: pytest.LogCaptureFixture, breaks: Callable[[str], None]
) -> None:
    error = OurError()
    _fail_with(app, "/line-fails", error)
    breaks("reqtrail.error")
    assert _get(app, "/line-fails").status_code == 500
    assert _counts(samples, "/line-fails") == {("500", "OurError"): 1}
    assert _statuses(samples, "/line-fails") == {"500": 1}
    assert _server_says(caplog, error)
