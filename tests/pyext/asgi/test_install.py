import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio.to_thread
import httpx
import pytest
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, HTTPException, WebSocket
from fastapi.responses import FileResponse, PlainTextResponse, RedirectResponse, StreamingResponse
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

import reqtrail
from reqtrail._native import is_request_id
from tests.pyext.asgi.conftest import Samples

GIVEN = {"X-Request-ID": "given-id"}


async def _dependency() -> str | None:
    return reqtrail.get_request_id()


def _routes(app: FastAPI, seen: list[Any]) -> None:
    @app.get("/item/{number}")
    async def item(number: int, request: Request, of_dependency: str | None = Depends(_dependency)) -> list[str | None]:
        return [reqtrail.get_request_id(), request.state.request_id, of_dependency]

    @app.get("/thread")
    def thread() -> str | None:
        return reqtrail.get_request_id()

    @app.get("/worker")
    async def worker() -> str | None:
        return await anyio.to_thread.run_sync(reqtrail.get_request_id)

    @app.get("/background")
    async def background(tasks: BackgroundTasks) -> None:
        tasks.add_task(lambda: seen.append(reqtrail.get_request_id()))

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def parts() -> AsyncIterator[str]:
            yield "a "
            yield str(reqtrail.get_request_id())

        return StreamingResponse(parts())

    @app.get("/file")
    async def file() -> FileResponse:
        return FileResponse(Path(__file__))

    @app.get("/redirect")
    async def redirect() -> RedirectResponse:
        return RedirectResponse("/elsewhere")

    @app.get("/own-header")
    async def own_header() -> Response:
        return PlainTextResponse("x", headers={"x-request-id": "my own"})

    @app.get("/teapot")
    async def teapot() -> None:
        raise HTTPException(418, "short and stout", headers={"X-Pot": "tea"})

    @app.get("/boom")
    async def boom() -> None:
        raise ValueError("boom")

    @app.websocket("/ws")
    async def websocket(socket: WebSocket) -> None:
        await socket.accept(subprotocol="a")
        await socket.send_json([reqtrail.get_request_id(), socket.state.request_id])
        await socket.close()


async def _pass_on(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    request.state.seen_by_middleware = reqtrail.get_request_id()
    response = await call_next(request)
    response.headers["x-seen"] = str(reqtrail.get_request_id())
    return response


@pytest.fixture(params=["bare", "BaseHTTPMiddleware", "CORSMiddleware"])
def app(request: pytest.FixtureRequest) -> Iterator[FastAPI]:
    app = FastAPI()
    app.state.seen = []
    reqtrail.install(app, log_level=None)
    if request.param == "BaseHTTPMiddleware":
        app.add_middleware(BaseHTTPMiddleware, dispatch=_pass_on)
    elif request.param == "CORSMiddleware":
        app.add_middleware(CORSMiddleware, allow_origins=["http://there"])
    _routes(app, app.state.seen)
    yield app
    reqtrail.uninstall(app)


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, raise_server_exceptions=False, follow_redirects=False) as client:
        yield client


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/item/5", 200),
        ("GET", "/item/five", 422),
        ("GET", "/nowhere", 404),
        ("POST", "/item/5", 405),
        ("GET", "/stream", 200),
        ("GET", "/file", 200),
        ("HEAD", "/file", 405),
        ("GET", "/redirect", 307),
        ("GET", "/own-header", 200),
        ("GET", "/teapot", 418),
        ("GET", "/boom", 500),
        ("GET", "/metrics", 200),
        ("GET", "/docs", 200),
    ],
)
def test_every_kind_of_response_carries_the_id_once(client: TestClient, method: str, path: str, status: int) -> None:
    response = client.request(method, path, headers=GIVEN)
    assert response.status_code == status
    assert response.headers.get_list("x-request-id") == ["given-id"]
    generated = client.request(method, path).headers.get_list("x-request-id")
    assert len(generated) == 1
    assert is_request_id(generated[0])
    assert generated != ["given-id"]


def test_handlers_dependencies_and_threads_see_the_id(client: TestClient) -> None:
    assert client.get("/item/5", headers=GIVEN).json() == ["given-id"] * 3
    assert client.get("/thread", headers=GIVEN).json() == "given-id"
    assert client.get("/worker", headers=GIVEN).json() == "given-id"


def test_a_streamed_body_and_a_background_task_see_the_id(app: FastAPI, client: TestClient) -> None:
    assert client.get("/stream", headers=GIVEN).text == "a given-id"
    client.get("/background", headers=GIVEN)
    assert app.state.seen == ["given-id"]


def test_a_handled_http_exception_keeps_its_own_answer(client: TestClient) -> None:
    response = client.get("/teapot", headers=GIVEN)
    assert response.json() == {"detail": "short and stout"}
    assert response.headers["x-pot"] == "tea"


def test_a_websocket_carries_the_id(client: TestClient) -> None:
    with client.websocket_connect("/ws", headers=GIVEN) as socket:
        assert socket.accepted_subprotocol == "a"
        assert (b"x-request-id", b"given-id") in (socket.extra_headers or [])
        assert socket.receive_json() == ["given-id", "given-id"]


def test_the_client_of_httpx_sees_the_id(app: FastAPI) -> None:
    async def get() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get("/item/5", headers=GIVEN)

    response = anyio.run(get)
    assert response.json() == ["given-id"] * 3
    assert response.headers["x-request-id"] == "given-id"


def test_installed_with_add_middleware_it_gives_ids_too() -> None:
    app = FastAPI()
    app.add_middleware(reqtrail.CorrelationIDMiddleware, header_name="X-Trail")
    _routes(app, [])
    response = TestClient(app).get("/item/5", headers={"X-Trail": "t"})
    assert response.json() == ["t"] * 3
    assert response.headers["x-trail"] == "t"


def test_a_middleware_of_its_own_and_an_installation_agree_on_the_id() -> None:
    app = FastAPI()
    reqtrail.install(app, log_level=None)
    app.add_middleware(reqtrail.CorrelationIDMiddleware)
    _routes(app, [])
    response = TestClient(app).get("/item/5")
    assert response.json() == [response.headers["x-request-id"]] * 3


def test_starlette_without_fastapi(samples: Samples) -> None:
    async def homepage(request: Request) -> Response:
        return PlainTextResponse(request.state.request_id)

    app = Starlette(routes=[Route("/starlette/{name}", homepage)])
    reqtrail.install(app, log_level=None)
    assert TestClient(app).get("/starlette/x", headers=GIVEN).text == "given-id"
    (count,) = samples("http_requests_total", handler="/starlette/{name}")
    assert (count.labels, count.value) == ({"method": "GET", "handler": "/starlette/{name}", "status": "200"}, 1)


@pytest.mark.parametrize("kind", [Starlette, FastAPI])
def test_a_lifespan_handler_has_no_id(kind: type[Starlette]) -> None:
    seen: list[Any] = []

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, int]]:
        seen.append(reqtrail.get_request_id())
        yield {"kept": 5}
        seen.append(reqtrail.get_request_id())

    async def kept(request: Request) -> Response:
        return PlainTextResponse(f"{request.state.kept} {request.state.request_id}")

    app = kind(lifespan=lifespan)
    app.router.routes.append(Route("/kept", kept))
    reqtrail.install(app, log_level=None)
    with TestClient(app) as client:
        assert [client.get("/kept", headers={"X-Request-ID": id_}).text for id_ in "ab"] == ["5 a", "5 b"]
    assert seen == [None, None]


def _ids(request: Request) -> Response:
    return JSONResponse([reqtrail.get_request_id(), request.state.request_id, *request.headers.getlist("x-request-id")])


def _bare(_sub: Starlette) -> None: ...


def _with_a_middleware(sub: Starlette) -> None:
    sub.add_middleware(reqtrail.CorrelationIDMiddleware)


def _installed(sub: Starlette) -> None:
    reqtrail.install(sub, log_level=None)


@pytest.mark.parametrize("prepare", [_bare, _with_a_middleware, _installed])
@pytest.mark.parametrize("kind", [Starlette, FastAPI])
@pytest.mark.parametrize("headers", [GIVEN, {}], ids=["given", "new"])
def test_a_mounted_application_has_the_id_of_the_request(
    kind: type[Starlette], prepare: Callable[[Starlette], None], headers: dict[str, str]
) -> None:
    sub = kind(routes=[Route("/ids", _ids)])
    prepare(sub)
    app = kind(routes=[Mount("/sub", sub)])
    reqtrail.install(app, log_level=None)
    for path, status in (("/sub/ids", 200), ("/sub/nowhere", 404)):
        response = TestClient(app).get(path, headers=headers)
        assert response.status_code == status
        (id_,) = response.headers.get_list("x-request-id")
        assert is_request_id(id_)
        assert (id_ == "given-id") == (headers == GIVEN)
        assert status == 404 or response.json() == [id_, id_, id_]
    assert reqtrail.get_request_id() is None


def test_a_second_install_changes_nothing(samples: Samples) -> None:
    app = FastAPI()
    reqtrail.install(app, log_level=None)
    reqtrail.install(app, log_level=None)

    @app.get("/installed-twice")
    async def handler() -> None: ...

    TestClient(app).get("/installed-twice")
    assert [sample.value for sample in samples("http_requests_total", handler="/installed-twice")] == [1]


def test_uninstall_gives_the_application_back_as_it_was(samples: Samples) -> None:
    app = FastAPI()

    @app.get("/uninstalled")
    async def handler() -> None: ...

    before = (list(app.router.routes), dict(app.exception_handlers), app.build_middleware_stack)
    reqtrail.install(app, log_level=None)
    assert TestClient(app).get("/metrics").status_code == 200
    reqtrail.uninstall(app)
    reqtrail.uninstall(app)
    assert (list(app.router.routes), dict(app.exception_handlers), app.build_middleware_stack) == before
    assert "x-request-id" not in TestClient(app).get("/uninstalled").headers
    assert TestClient(app).get("/metrics").status_code == 404
    assert samples("http_requests_total", handler="/uninstalled") == []


def test_uninstalling_the_last_application_gives_the_servers_loggers_back_as_they_were(
    not_installed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    loggers = [logging.getLogger(f"{server}.error") for server in ("uvicorn", "gunicorn", "hypercorn")]
    own = logging.Filter()
    for logger in loggers:
        monkeypatch.setattr(logger, "filters", [own])

    def filters() -> list[int]:
        return [len(logger.filters) for logger in loggers]

    first, last = FastAPI(), FastAPI()
    for app in (first, first, last):
        reqtrail.install(app, log_level=None)
    reqtrail.uninstall(first)
    assert filters() == [2, 2, 2]
    reqtrail.uninstall(last)
    assert [logger.filters for logger in loggers] == [[own]] * 3
    reqtrail.install(last, log_level=None)
    assert filters() == [2, 2, 2]


def test_an_application_that_serves_already_is_refused() -> None:
    app = FastAPI()
    TestClient(app).get("/")
    with pytest.raises(RuntimeError, match="begun to serve"):
        reqtrail.install(app, log_level=None)


@pytest.mark.parametrize("wrong", [{"log_level": "LOUD"}, {"celery": object()}, {"engine": object()}])
def test_an_argument_that_is_refused_leaves_the_application_as_it_was(wrong: dict[str, Any]) -> None:
    app = FastAPI()
    with pytest.raises((TypeError, ValueError)):
        reqtrail.install(app, **{"log_level": None, **wrong})
    response = TestClient(app).get("/refused")
    assert "x-request-id" not in response.headers

    app = FastAPI()
    with pytest.raises((TypeError, ValueError)):
        reqtrail.install(app, **{"log_level": None, **wrong})
    reqtrail.install(app, log_level=None)
    assert "x-request-id" in TestClient(app).get("/mended").headers


def test_a_second_call_that_is_refused_keeps_the_first() -> None:
    app = FastAPI()
    reqtrail.install(app, log_level=None)
    with pytest.raises(TypeError):
        reqtrail.install(app, celery=object())
    assert "x-request-id" in TestClient(app).get("/").headers


@pytest.mark.parametrize("app", [None, 5, reqtrail.CorrelationIDMiddleware(FastAPI()), APIRouter()])
def test_what_is_no_application_is_refused_and_told_what_is(app: Any) -> None:
    with pytest.raises(TypeError, match=r"must be a Starlette or FastAPI application, not .*CorrelationIDMiddleware"):
        reqtrail.install(app)


@pytest.mark.parametrize(
    "options",
    [
        {"metrics_path": "metrics"},
        {"header_name": "X Y"},
        {"header_name": "X-\ud800"},
        {"header_name": "X\0Y"},
        {"namespace": "not-a-metric"},
        {"namespace": "caf\ud800"},
    ],
)
def test_options_out_of_range_are_refused_before_anything_is_changed(options: dict[str, Any]) -> None:
    app = FastAPI()
    with pytest.raises(ValueError, match=r"metrics_path must|header_name must|not-a-metric|namespace must"):
        reqtrail.install(app, log_level=None, **options)
    assert TestClient(app).get("/metrics").status_code == 404


@pytest.mark.parametrize(
    ("option", "right"),
    [
        ("service", 'service must be a str, such as "shop", or None'),
        ("metrics_dir", "the metrics' directory must be a str, an os.PathLike or None"),
        ("metrics_path", 'metrics_path must be a str, such as "/metrics", or None'),
        ("header_name", 'header_name must be a str, such as "X-Request-ID"'),
        ("namespace", 'namespace must be a str, such as "shop"'),
    ],
)
@pytest.mark.parametrize(("wrong", "type_"), [(5, "int"), (b"/x", "bytes"), ([], "list"), (True, "bool")])
def test_an_argument_of_the_wrong_type_is_refused_and_told_what_is_right(
    option: str, right: str, wrong: Any, type_: str
) -> None:
    app = FastAPI()
    with pytest.raises(TypeError) as refused:
        reqtrail.install(app, **{"log_level": None, option: wrong})
    assert str(refused.value) == f"{right}, not {type_}"
    assert TestClient(app).get("/metrics").status_code == 404


def test_the_switch_turns_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQTRAIL_ENABLED", "false")
    app = FastAPI()
    reqtrail.install(app)
    assert "x-request-id" not in TestClient(app).get("/").headers


def test_the_switch_turns_a_middleware_that_is_added_by_hand_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQTRAIL_ENABLED", "false")
    app = FastAPI()
    app.add_middleware(reqtrail.CorrelationIDMiddleware)

    @app.get("/")
    async def handler(request: Request) -> list[Any]:
        return [reqtrail.get_request_id(), hasattr(request.state, "request_id"), request.headers.get("x-request-id")]

    response = TestClient(app).get("/")
    assert response.json() == [None, False, None]
    assert "x-request-id" not in response.headers


def test_what_the_switch_said_when_it_was_installed_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    app = FastAPI()
    reqtrail.install(app, log_level=None)
    monkeypatch.setenv("REQTRAIL_ENABLED", "false")
    assert "x-request-id" in TestClient(app).get("/").headers

    off = FastAPI()
    reqtrail.install(off, log_level=None, enabled=True)
    monkeypatch.delenv("REQTRAIL_ENABLED")
    reqtrail.install(off, log_level=None, enabled=False)
    assert "x-request-id" not in TestClient(off).get("/").headers


def test_metrics_are_served_ahead_of_a_catch_all_and_are_no_part_of_the_api() -> None:
    app = FastAPI()
    reqtrail.install(app, log_level=None)

    @app.get("/{path:path}")
    async def everything(path: str) -> str:
        return "mine"

    client = TestClient(app)
    assert client.get("/metrics").headers["content-type"].startswith("text/plain")
    openmetrics = client.get("/metrics", headers={"Accept": "application/openmetrics-text"})
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
    assert openmetrics.text.endswith("# EOF\n")
    assert "/metrics" not in client.get("/openapi.json").text


def _direct(app: FastAPI) -> None:
    app.add_api_route("/metrics", lambda: "mine")


def _included(app: FastAPI) -> None:
    router = APIRouter(prefix="/metrics")
    router.add_api_route("", lambda: "mine")
    app.include_router(router)


def _mounted(app: FastAPI) -> None:
    app.router.routes.append(Mount("/metrics", PlainTextResponse('"mine"')))


@pytest.mark.parametrize("add", [_direct, _included, _mounted])
@pytest.mark.parametrize("metrics_path", ["/metrics", None])
def test_a_metrics_route_of_the_application_is_left_alone(
    add: Callable[[FastAPI], None], metrics_path: str | None
) -> None:
    app = FastAPI()
    reqtrail.install(app, log_level=None, metrics_path=metrics_path)
    add(app)
    assert TestClient(app).get("/metrics").json() == "mine"


def test_no_metrics_path_serves_none() -> None:
    app = FastAPI()
    reqtrail.install(app, log_level=None, metrics_path=None)
    assert TestClient(app).get("/metrics").status_code == 404
