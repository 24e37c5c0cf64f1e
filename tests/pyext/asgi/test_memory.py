"""Nothing of a request stays behind."""

import asyncio
import gc
import os
import sys
import tracemalloc
import weakref
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

import reqtrail
from reqtrail import CorrelationIDMiddleware
from tests.pyext.asgi.driver import answer, call, http_scope, start

REQUESTS = 20_000


async def _plain(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, headers=[(b"a", b"b")])


async def _fails(scope: Any, receive: Any, send: Any) -> None:
    raise KeyError("of the application")


async def _suspends(scope: Any, receive: Any, send: Any) -> None:
    await asyncio.get_running_loop().create_future()


async def _cancelled(app: Any) -> None:
    task = asyncio.ensure_future(call(app))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def _many(app: Any, requests: int) -> None:
    for number in range(requests):
        if app.app is _fails:
            with pytest.raises(KeyError):
                await call(app)
        elif app.app is _suspends:
            await _cancelled(app)
        else:
            await call(app, [(b"x-request-id", b"id-%d" % number)] if number % 2 else [])


@pytest.mark.parametrize(("inner", "requests"), [(_plain, REQUESTS), (_fails, 2_000), (_suspends, 2_000)])
def test_the_heap_is_the_same_after_many_requests(inner: Any, requests: int) -> None:
    app = CorrelationIDMiddleware(inner)
    asyncio.run(_many(app, 200))
    gc.collect()
    objects = len(gc.get_objects())
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    asyncio.run(_many(app, requests))
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 10 * requests
    assert len(gc.get_objects()) - objects < 100


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.timeout(300)
def test_a_million_requests_leave_no_reference_and_a_flat_heap() -> None:
    async def accept(message: Any) -> None: ...

    async def requests(count: int) -> None:
        for _ in range(count):
            await app(http_scope(), None, accept)

    app: Any = CorrelationIDMiddleware(_plain)
    asyncio.run(requests(20_000))
    gc.collect()
    resident = _resident_bytes()
    watched = (app, _plain, accept)
    references = [sys.getrefcount(value) for value in watched]
    asyncio.run(requests(1_000_000))
    gc.collect()
    assert [sys.getrefcount(value) for value in watched] == references
    assert _resident_bytes() - resident < 2 * 1024 * 1024  # two bytes a request


def test_an_installed_application_does_not_grow_either() -> None:
    app = FastAPI()
    reqtrail.install(app, log_level=None)
    app.add_api_route("/memory/{x}", lambda x: x)

    async def requests(count: int) -> None:
        for number in range(count):
            await call(app, path=f"/memory/{number}", query_string=b"")

    asyncio.run(requests(100))
    gc.collect()
    objects = len(gc.get_objects())
    asyncio.run(requests(2_000))
    gc.collect()
    assert len(gc.get_objects()) - objects < 100


def test_every_object_of_a_request_is_released() -> None:
    class Watched(dict[str, Any]):
        pass

    app: Any = CorrelationIDMiddleware(_plain)
    scope = Watched(http_scope())
    gone = weakref.ref(scope)
    references = [sys.getrefcount(value) for value in (app, _plain, _accept)]
    asyncio.run(app(scope, None, _accept))
    del scope
    assert gone() is None
    assert [sys.getrefcount(value) for value in (app, _plain, _accept)] == references


async def _accept(message: Any) -> None: ...


def test_a_cycle_through_a_suspended_request_is_collected() -> None:
    class Loop:
        awaitable: Any = None

        def __await__(self) -> Any:
            yield

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await scope["loop"]

    scope = http_scope() | {"loop": Loop()}
    gone = weakref.ref(scope["loop"])
    scope["loop"].awaitable = start(app, scope)
    scope["loop"].awaitable.send(None)
    del scope
    gc.collect()
    assert gone() is None
    assert reqtrail.get_request_id() is None


def test_an_application_and_its_installation_are_collected_together() -> None:
    app = FastAPI()
    reqtrail.install(app, log_level=None)
    app.add_api_route("/collected", lambda: 1)
    asyncio.run(call(app, path="/collected", query_string=b""))
    gone = weakref.ref(app)
    del app
    gc.collect()
    assert gone() is None
