"""Which `handler` a request is counted under."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, Route, Router
from starlette.staticfiles import StaticFiles
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

import reqtrail
from reqtrail._route_template import RouteTemplates
from tests.pyext.asgi.conftest import Samples


async def _hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


async def _path_id(id: int) -> int:  # noqa: A002 - the name in the template
    return id


class _Class(HTTPEndpoint):
    async def get(self, request: Request) -> PlainTextResponse:
        return PlainTextResponse("hello")


async def _foreign(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("foreign")(scope, receive, send)


async def _with_a_copy_of_the_scope(scope: Scope, receive: Receive, send: Send) -> None:
    await Router([Route("/{x}", _hello)])(dict(scope), receive, send)


def _api(prefix: str = "") -> APIRouter:
    router = APIRouter(prefix=prefix)
    router.add_api_route("/item/{id}", _path_id, methods=["GET"])
    router.add_route("/plain/{id}", _hello)
    return router


def _outer(app: FastAPI) -> FastAPI:
    inner = FastAPI()
    inner.include_router(_api("/v1"), prefix="/inner")
    inner.add_api_route("/direct", lambda: 1)
    nested = APIRouter()
    nested.include_router(_api(), prefix="/deep")
    app.include_router(nested, prefix="/nested/{tenant}")
    app.include_router(_api("/api"))
    app.add_api_route("/direct/{id}", _path_id)
    app.add_route("/plain/{id}", _hello)
    app.add_route("/class", _Class)  # type: ignore[arg-type]  # Starlette takes the class of an endpoint
    app.mount("/sub", inner)
    app.mount("/of/{org}/sub", inner)
    app.mount("/by/{number:int}/sub", inner)
    app.mount("/same/{id}", Router([Route("/item/{id}", _hello)]))
    mounting = APIRouter()
    mounting.mount("/mounted", Router([Route("/item/{id}", _hello)]))
    app.include_router(mounting, prefix="/pre")
    app.mount("/starlette", Starlette(routes=[Route("/a/{b}", _hello), Mount("/m", routes=[Route("/c/{d}", _hello)])]))
    app.mount("/router", Router([Route("/a/{b}", _hello)]))
    app.mount("/static", StaticFiles(directory=Path(__file__).parent))
    app.mount("/foreign", _foreign)
    app.mount("/copied", _with_a_copy_of_the_scope)
    app.router.routes.append(Host("other.example", Router([Route("/on/{host}", _hello)])))
    return app


def _counts(samples: Samples) -> Counter[str]:
    counts: Counter[str] = Counter()
    for sample in samples("http_requests_total"):
        counts[sample.labels["handler"]] += int(sample.value)
    return counts


HANDLERS = {
    "/direct/1": "/direct/{id}",
    "/plain/1": "/plain/{id}",
    "/class": "/class",
    "/api/item/1": "/api/item/{id}",
    "/nested/acme/deep/item/1": "/nested/{tenant}/deep/item/{id}",
    "/nested/acme/deep/plain/1": "/nested/{tenant}/deep/plain/{id}",
    "/sub/inner/v1/item/1": "/sub/inner/v1/item/{id}",
    "/sub/inner/plain/1": "/sub/inner/plain/{id}",
    "/sub/direct": "/sub/direct",
    "/sub/docs": "/sub/docs",
    "/of/acme/sub/direct": "/of/{org}/sub/direct",
    "/by/007/sub/direct": "/by/{number}/sub/direct",
    "/of/acme/sub/inner/v1/item/1": "/of/{org}/sub/inner/v1/item/{id}",
    "/same/1/item/2": "/same/{id}/item/{id}",
    "/pre/mounted/item/1": "/pre/mounted/item/{id}",
    "/starlette/a/1": "/starlette/a/{b}",
    "/starlette/m/c/1": "/starlette/m/c/{d}",
    "/router/a/1": "/router/a/{b}",
    "/static/conftest.py": "/static/{path}",
    "/foreign/any/thing": "/foreign/{path}",
    "/copied/1": "/copied/{path}",
    "/docs": "/docs",
    "/openapi.json": "/openapi.json",
    "/nowhere/1": "__unmatched__",
    "/direct/1/": "__unmatched__",
}


@pytest.mark.parametrize(("path", "handler"), HANDLERS.items())
def test_the_handler_is_the_template_of_the_route(samples: Samples, path: str, handler: str) -> None:
    app = _outer(FastAPI())
    reqtrail.install(app, log_level=None)
    client = TestClient(app, headers={"X-Request-ID": "label"}, follow_redirects=False)
    before = _counts(samples)
    client.get(path)
    client.get(path)
    assert _counts(samples) - before == {handler: 2}


def test_what_is_remembered_of_a_route_is_not_taken_for_another_way_to_it(samples: Samples) -> None:
    app = _outer(FastAPI())
    reqtrail.install(app, log_level=None)
    client = TestClient(app, follow_redirects=False)
    before = _counts(samples)
    for path in [*HANDLERS, *reversed(HANDLERS)]:
        client.get(path)
    assert _counts(samples) - before == Counter([*HANDLERS.values()] * 2)


def test_a_root_path_of_the_server_is_no_part_of_the_handler(samples: Samples) -> None:
    app = _outer(FastAPI())
    reqtrail.install(app, log_level=None)
    before = sum(s.value for s in samples("http_requests_total", handler="/sub/direct"))
    TestClient(app, root_path="/front").get("/front/sub/direct")
    assert sum(s.value for s in samples("http_requests_total", handler="/sub/direct")) == before + 1


@pytest.mark.parametrize(("method", "label"), [("PATCH", "PATCH"), ("BREW", "OTHER"), ("WEBSOCKET", "OTHER")])
def test_a_method_that_http_does_not_know_is_other(samples: Samples, method: str, label: str) -> None:
    app = FastAPI()
    reqtrail.install(app, log_level=None)
    path = f"/method/{method}"
    app.add_api_route(path, lambda: 1)
    TestClient(app).request(method, path)
    assert [s.labels["method"] for s in samples("http_requests_total", handler=path)] == [label]


def test_routes_that_share_an_endpoint_are_told_apart_where_the_router_left_the_route(samples: Samples) -> None:
    app = Starlette(routes=[Route("/shared/a/{x}", _hello), Route("/shared/b/{x}", _hello)])
    reqtrail.install(app, log_level=None)
    TestClient(app).get("/shared/b/1")
    handlers = {s.labels["handler"] for s in samples("http_requests_total")}
    assert "/shared/b/{x}" in handlers
    assert "/shared/a/{x}" not in handlers


class _Broken:
    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("a route with broken attributes")


@pytest.mark.parametrize("leave", [{"route": _Broken()}, {"fastapi": 5}, {"endpoint": []}, {"path_params": 5}])
def test_whatever_the_router_leaves_the_request_is_answered(leave: dict[str, Any]) -> None:
    async def leaving(scope: Scope, receive: Receive, send: Send) -> None:
        scope.update(leave)
        await _foreign(scope, receive, send)

    app = Starlette(routes=[Mount("/leaving", leaving)])
    reqtrail.install(app, log_level=None)
    assert TestClient(app).get("/leaving/x").text == "foreign"


def test_an_empty_scope_is_unmatched() -> None:
    assert RouteTemplates(Router()).of({}, None) == "__unmatched__"


def test_a_mount_that_is_not_found_again_does_not_leak_its_path() -> None:
    scope = {"route": Route("/a/{b}", _hello), "root_path": "/secret/path"}
    assert RouteTemplates(Router()).of(scope, "") == "/{mount}/a/{b}"
