"""The built-in tags: the route, from the router of a real application, and the task."""

import celery
import httpx
import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from reqtrail import sql_tags
from reqtrail.sql_comment import Commenter


@pytest.fixture
def commenter() -> Commenter:
    return Commenter("guc", ("route", "task"))


async def answer(app: object, path: str) -> str:
    transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return (await client.get(path)).text


async def test_it_is_the_template_and_never_the_path(commenter: Commenter) -> None:
    app = FastAPI()
    router = APIRouter(prefix="/v1")

    @router.get("/items/{id}")
    async def item(id: int) -> str:  # noqa: A002
        return commenter.commented("SELECT 1")

    @app.get("/sync/{id}")
    def in_a_thread(id: int) -> str:  # noqa: A002
        return commenter.commented("SELECT 1")

    app.include_router(router)
    app.add_middleware(sql_tags.RouteMiddleware)
    assert await answer(app, "/v1/items/5") == "\"SELECT 1 /*route='%2Fv1%2Fitems%2F%7Bid%7D'*/\""
    assert await answer(app, "/sync/5") == "\"SELECT 1 /*route='%2Fsync%2F%7Bid%7D'*/\""
    assert commenter.commented("SELECT 1") == "SELECT 1"


async def test_mounts_are_part_of_it(commenter: Commenter) -> None:
    def item(request: Request) -> Response:
        return PlainTextResponse(commenter.commented("SELECT 1"))

    app = Starlette(routes=[Mount("/shop", routes=[Route("/items/{id}", item)])])
    app.add_middleware(sql_tags.RouteMiddleware)
    assert await answer(app, "/shop/items/5") == "SELECT 1 /*route='%2Fshop%2Fitems%2F%7Bid%7D'*/"


def test_the_task_is_the_name_of_the_one_that_runs(commenter: Commenter) -> None:
    app = celery.Celery("tags", broker="memory://", set_as_current=False)

    @app.task(name="tests.report")  # type: ignore[untyped-decorator]  # Celery ships no types
    def report() -> str:
        return commenter.commented("SELECT 1")

    assert report.apply().get() == "SELECT 1 /*task='tests.report'*/"
    assert commenter.commented("SELECT 1") == "SELECT 1"
