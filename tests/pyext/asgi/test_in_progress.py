"""Which requests are in progress now, under which route."""

import asyncio
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response

from tests.own_metrics import samples, total
from tests.pyext.asgi.driver import call
from tests.pyext.asgi.recorded_app import answer_of, app_with


async def _waits(app: FastAPI, path: str) -> tuple[asyncio.Task[Any], asyncio.Event]:
    """A request that waits inside of its handler."""
    entered, go_on = asyncio.Event(), asyncio.Event()
    app.state.wait = (entered, go_on)
    task = asyncio.create_task(call(app, path=path, query_string=b""))
    await entered.wait()
    await asyncio.sleep(0)
    return task, go_on


def _waiting_app(**options: Any) -> FastAPI:
    app = app_with(**options)

    @app.get("/waits/{name}")
    async def waits(name: str) -> None:
        entered, go_on = app.state.wait
        entered.set()
        await go_on.wait()

    return app


@pytest.mark.parametrize("end", ["answer", "cancel"])
async def test_a_request_that_waits_is_in_progress_until_it_ends(end: str) -> None:
    app = _waiting_app()
    handler = {"handler": "/waits/{name}"}
    assert total("http_requests_inprogress", **handler) == 0
    task, go_on = await _waits(app, "/waits/5")
    assert [sample.labels["method"] for sample in samples("http_requests_inprogress", **handler)] == ["GET"]
    assert total("http_requests_inprogress", **handler) == 1
    if end == "answer":
        go_on.set()
        await task
    else:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert total("http_requests_inprogress") == 0


async def test_it_is_counted_under_its_route_as_soon_as_that_is_known() -> None:
    class Slow:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await asyncio.sleep(0)
            seen.append(total("http_requests_inprogress", handler="__unmatched__"))
            await self.app(scope, receive, send)

    seen: list[float] = []
    app = _waiting_app()
    app.add_middleware(Slow)
    task, go_on = await _waits(app, "/waits/5")
    assert seen == [1]
    assert total("http_requests_inprogress", handler="__unmatched__") == 0
    assert total("http_requests_inprogress", handler="/waits/{name}") == 1
    go_on.set()
    await task
    assert total("http_requests_inprogress") == 0


@pytest.mark.parametrize(
    "options", [{"metrics": ["requests"]}, {"skip_paths": ["/waits/.*"]}, {"excluded_handlers": ["waits"]}]
)
async def test_a_request_that_is_not_to_be_recorded_is_not_in_progress(options: dict[str, Any]) -> None:
    app = _waiting_app(**options)
    task, go_on = await _waits(app, "/waits/5")
    assert total("http_requests_inprogress") == 0
    go_on.set()
    await task


def test_behind_a_base_http_middleware_nothing_stays_in_progress() -> None:
    async def dispatch(request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)

    app = app_with()
    app.add_middleware(BaseHTTPMiddleware, dispatch=dispatch)
    assert answer_of(app, "/opts/a").status_code == 200
    assert answer_of(app, "/opts/boom").status_code == 500
    assert total("http_requests_inprogress") == 0
