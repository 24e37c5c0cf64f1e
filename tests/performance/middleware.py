"""Nanoseconds that a middleware adds to one ASGI call, ours and the peers', in one run.

The application inside is the smallest one that answers; it leaves the route in the scope as a router does. Every round
measures each candidate once, right after the bare application. What is reported is the fastest round of the one less
the fastest of the other, which a busy machine disturbs least.
"""

import asyncio
import gc
import tempfile
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any

from asgi_correlation_id import CorrelationIdMiddleware
from prometheus_client import CollectorRegistry
from prometheus_fastapi_instrumentator import Instrumentator
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from reqtrail import CorrelationIDMiddleware, metrics
from reqtrail._http_options import RecordOptions
from reqtrail._installation import recorder_of
from tests.performance.report import BenchRow, write

App = Callable[[Any, Any, Any], Awaitable[None]]

ROUNDS = 200
CALLS_OF_OURS = 1000
CALLS_OF_PEERS = 100
ID = b"0a4ce3cb-30cc-4a9e-b7d2-f6a9a3a9d0a1"
HEADERS = [
    (b"host", b"localhost:8000"),
    (b"user-agent", b"Mozilla/5.0"),
    (b"accept", b"application/json"),
    (b"accept-encoding", b"gzip, deflate"),
    (b"connection", b"keep-alive"),
    (b"cookie", b"session=0123456789"),
]
HEADERS_WITH_ID = [*HEADERS, (b"x-request-id", ID)]


def _endpoint(request: Request) -> Response:
    return PlainTextResponse("ok")


ROUTE = Route("/items/{id}", _endpoint)
ROUTED = Starlette(routes=[ROUTE])
RESPONSE_HEADERS = ((b"content-type", b"text/plain"), (b"content-length", b"2"))


async def bare(scope: Any, receive: Any, send: Any) -> None:
    scope["route"] = ROUTE
    # A new list each time, as frameworks make it: peers append to it.
    await send({"type": "http.response.start", "status": 200, "headers": list(RESPONSE_HEADERS)})
    await send({"type": "http.response.body", "body": b"ok"})


async def _receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _send(message: Any) -> None:
    pass


async def _nanoseconds(app: App, headers: list[tuple[bytes, bytes]], calls: int) -> float:
    started = time.perf_counter_ns()
    for _ in range(calls):
        scope = {
            "type": "http",
            "app": ROUTED,
            "method": "GET",
            "path": "/items/5",
            "root_path": "",
            "query_string": b"",
            "headers": headers,
            "state": {},
        }
        await app(scope, _receive, _send)
    return (time.perf_counter_ns() - started) / calls


class _Candidate:
    def __init__(self, app: App, headers: list[tuple[bytes, bytes]], calls: int = CALLS_OF_PEERS) -> None:
        self.app = app
        self.headers = headers
        self.calls = calls
        self.with_: list[float] = []
        self.without: list[float] = []

    @property
    def added(self) -> float:
        return round(min(self.with_) - min(self.without), 1)

    @property
    def spread(self) -> float:
        """Of the same measurement repeated in each fifth of the rounds."""
        fifth = len(self.with_) // 5
        parts = [slice(start, start + fifth) for start in range(0, 5 * fifth, fifth)]
        repeated = [min(self.with_[part]) - min(self.without[part]) for part in parts]
        return round((max(repeated) - min(repeated)) / 2 / self.added, 3)


async def _no_op(request: Request, call_next: RequestResponseEndpoint) -> Response:
    return await call_next(request)


def _instrumentator() -> App:
    app = Starlette()
    Instrumentator(registry=CollectorRegistry()).instrument(app)
    ((middleware, args, kwargs),) = app.user_middleware
    made: App = middleware(bare, *args, **kwargs)
    return made


def _recorded(directory: str) -> App:
    segment = metrics.Segment("bench", directory)
    return CorrelationIDMiddleware(bare, _recorder=recorder_of(ROUTED, segment, RecordOptions("bench")))


async def _measure(candidates: list[_Candidate]) -> None:
    gc.collect()
    gc.freeze()
    for round_ in range(ROUNDS + 3):
        for candidate in candidates:
            # Tasks of their own, as a server makes them: one peer leaves its context variable set behind it.
            without = await asyncio.create_task(_nanoseconds(bare, candidate.headers, CALLS_OF_OURS))
            with_ = await asyncio.create_task(_nanoseconds(candidate.app, candidate.headers, candidate.calls))
            if round_ >= 3:  # the first ones warm up
                candidate.with_.append(with_)
                candidate.without.append(without)
    gc.unfreeze()


def rows() -> list[BenchRow]:
    """Measure and return the rows of this suite; about 10 seconds."""
    with tempfile.TemporaryDirectory() as directory:
        correlation = CorrelationIDMiddleware(bare)
        generated = _Candidate(correlation, HEADERS, CALLS_OF_OURS)
        given = _Candidate(correlation, HEADERS_WITH_ID, CALLS_OF_OURS)
        recorded = _Candidate(_recorded(directory), HEADERS, CALLS_OF_OURS)
        peer_generated = _Candidate(CorrelationIdMiddleware(bare), HEADERS)
        peer_given = _Candidate(CorrelationIdMiddleware(bare), HEADERS_WITH_ID)
        no_op = _Candidate(BaseHTTPMiddleware(bare, _no_op), HEADERS)
        instrumentator = _Candidate(_instrumentator(), HEADERS)
        all_ = [generated, given, recorded, peer_generated, peer_given, no_op, instrumentator]
        asyncio.run(_measure(all_))
    id_peer = f"asgi-correlation-id {version('asgi-correlation-id')}"
    base_peer = f"BaseHTTPMiddleware no-op (Starlette {version('starlette')})"
    metrics_peer = f"prometheus-fastapi-instrumentator {version('prometheus-fastapi-instrumentator')}"
    return [
        _row("middleware: correlation, a new id", generated, 500, {id_peer: peer_generated, base_peer: no_op}),
        _row("middleware: correlation, the client's id", given, 500, {id_peer: peer_given, base_peer: no_op}),
        _row("middleware: with metrics and errors", recorded, 1000, {metrics_peer: instrumentator, base_peer: no_op}),
    ]


def _row(name: str, ours: _Candidate, goal: float, peers: dict[str, _Candidate]) -> BenchRow:
    return {
        "name": name,
        "unit": "ns added to an ASGI call",
        "ours": ours.added,
        "goal": goal,
        "better": "lower",
        "peers": {peer: candidate.added for peer, candidate in peers.items()},
        "spread": ours.spread,
        "command": "python -m tests.performance.middleware",
    }


if __name__ == "__main__":
    write("middleware", rows())
