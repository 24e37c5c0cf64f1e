"""Nanoseconds that a middleware adds to one ASGI call, ours and the peers', in one run.

The application inside is the smallest one that answers; it leaves the route in the scope as a router does. Every round
measures each candidate once, right after the bare application. What is reported is the fastest round of the one less
the fastest of the other, which a busy machine disturbs least. Access lines go to /dev/null.
"""

import asyncio
import gc
import tempfile
import time
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

import reqtrail
from reqtrail import CorrelationIDMiddleware, metrics
from reqtrail._http_options import RecordOptions
from reqtrail._installation import recorder_of
from tests.performance import http_peers
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
ID_PEERS = (http_peers.ASGI_CORRELATION_ID, http_peers.STARLETTE_CONTEXT, http_peers.BASE_HTTP_NO_OP)
METRICS_PEERS = (http_peers.INSTRUMENTATOR, http_peers.STARLETTE_EXPORTER, http_peers.OPENTELEMETRY_ASGI)
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


def _peer(name: str) -> App:
    app = FastAPI()
    http_peers.PEERS[name](app)
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


def _of_peers(names: tuple[str, ...], headers: list[tuple[bytes, bytes]]) -> dict[str, _Candidate]:
    return {name: _Candidate(_peer(name), headers) for name in names}


def _rows_without_lines(recorded: App) -> list[BenchRow]:
    correlation = CorrelationIDMiddleware(bare)
    generated = _Candidate(correlation, HEADERS, CALLS_OF_OURS)
    given = _Candidate(correlation, HEADERS_WITH_ID, CALLS_OF_OURS)
    counted = _Candidate(recorded, HEADERS, CALLS_OF_OURS)
    beside_generated = _of_peers(ID_PEERS, HEADERS)
    beside_given = _of_peers(ID_PEERS, HEADERS_WITH_ID)
    beside_counted = _of_peers(METRICS_PEERS, HEADERS)
    beside_counted[http_peers.BASE_HTTP_NO_OP] = beside_generated[http_peers.BASE_HTTP_NO_OP]
    peers = {id(peer): peer for all_ in (beside_generated, beside_given, beside_counted) for peer in all_.values()}
    asyncio.run(_measure([generated, given, counted, *peers.values()]))
    return [
        _row("middleware: correlation, a new id", generated, 500, beside_generated),
        _row("middleware: correlation, the client's id", given, 500, beside_given),
        _row("middleware: with metrics and errors", counted, 1000, beside_counted),
    ]


def _row_with_lines(recorded: App) -> BenchRow:
    reqtrail.logging.setup(file="/dev/null")
    try:
        ours = _Candidate(recorded, HEADERS, CALLS_OF_OURS)
        peers = _of_peers((http_peers.BASE_HTTP_BY_HAND,), HEADERS)
        asyncio.run(_measure([ours, *peers.values()]))
    finally:
        reqtrail.logging.reset()
    return _row("middleware: with metrics, errors and access line", ours, 2500, peers)


def rows() -> list[BenchRow]:
    """Measure and return the rows of this suite; about 20 seconds."""
    with tempfile.TemporaryDirectory() as directory:
        recorded = _recorded(directory)
        return [*_rows_without_lines(recorded), _row_with_lines(recorded)]


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
