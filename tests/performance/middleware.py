"""Nanoseconds that a middleware adds to one ASGI call, ours and the peers', in one run.

The application inside is the smallest one that answers; it leaves the route in the scope as a router does. Every round
measures the candidate once, right after the bare application. What counts is the fastest round of the one less the
fastest of the other, which a busy machine disturbs least. Each candidate has processes of its own, because CPython fits
its code to what it meets, and an application has one middleware of a kind. Where a process has its code and its objects
in memory is chance, and moves the figures by some per cent: there are several, one after the other, and their mean is
reported. Access lines go to /dev/null.
"""

import asyncio
import gc
import multiprocessing
import tempfile
import time
from collections.abc import Awaitable, Callable
from statistics import fmean
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

PROCESSES = 4
ROUNDS = 50
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
NEW_ID, GIVEN_ID = "middleware: correlation, a new id", "middleware: correlation, the client's id"
COUNTED, LOGGED = "middleware: with metrics and errors", "middleware: with metrics, errors and access line"
GOALS_NS = {NEW_ID: 500, GIVEN_ID: 500, COUNTED: 1000, LOGGED: 2500}
OURS = "ours"
ID_PEERS = (http_peers.ASGI_CORRELATION_ID, http_peers.STARLETTE_CONTEXT, http_peers.BASE_HTTP_NO_OP)
METRICS_PEERS = (
    http_peers.INSTRUMENTATOR,
    http_peers.STARLETTE_EXPORTER,
    http_peers.OPENTELEMETRY_ASGI,
    http_peers.BASE_HTTP_NO_OP,
)
PEERS = {
    NEW_ID: ID_PEERS,
    GIVEN_ID: ID_PEERS,
    COUNTED: METRICS_PEERS,
    LOGGED: (http_peers.BASE_HTTP_BY_HAND,),
}
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
        return min(self.with_) - min(self.without)


def _peer(name: str) -> App:
    app = FastAPI()
    http_peers.PEERS[name](app)
    ((middleware, args, kwargs),) = app.user_middleware
    made: App = middleware(bare, *args, **kwargs)
    return made


def _recorded(directory: str) -> App:
    segment = metrics.Segment("bench", directory)
    return CorrelationIDMiddleware(bare, _recorder=recorder_of(ROUTED, segment, RecordOptions("bench")))


async def _measure(candidate: _Candidate) -> None:
    gc.collect()
    gc.freeze()
    for round_ in range(ROUNDS + 3):
        # Tasks of their own, as a server makes them: one peer leaves its context variable set behind it.
        without = await asyncio.create_task(_nanoseconds(bare, candidate.headers, CALLS_OF_OURS))
        with_ = await asyncio.create_task(_nanoseconds(candidate.app, candidate.headers, candidate.calls))
        if round_ >= 3:  # the first ones warm up
            candidate.with_.append(with_)
            candidate.without.append(without)
    gc.unfreeze()


def _added(row: str, who: str) -> float:
    """What a candidate adds, measured in this process."""
    headers = HEADERS_WITH_ID if row == GIVEN_ID else HEADERS
    with tempfile.TemporaryDirectory() as directory:
        if who != OURS:
            candidate = _Candidate(_peer(who), headers)
        elif row in (COUNTED, LOGGED):
            candidate = _Candidate(_recorded(directory), headers, CALLS_OF_OURS)
        else:
            candidate = _Candidate(CorrelationIDMiddleware(bare), headers, CALLS_OF_OURS)
        if row == LOGGED:
            reqtrail.logging.setup(file="/dev/null")
        asyncio.run(_measure(candidate))
    return candidate.added


def rows() -> list[BenchRow]:
    """Measure and return the rows of this suite; about two minutes."""
    measured: list[dict[tuple[str, str], float]] = []
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as one_after_another:
        for _ in range(PROCESSES):
            candidates = [(row, who) for row, peers in PEERS.items() for who in (OURS, *peers)]
            measured.append({candidate: one_after_another.apply(_added, candidate) for candidate in candidates})
    return [
        _row(row, [{who: each[row, who] for who in (OURS, *peers)} for each in measured])
        for row, peers in PEERS.items()
    ]


def _row(name: str, measured: list[dict[str, float]]) -> BenchRow:
    mean = {who: round(fmean(added[who] for added in measured), 1) for who in measured[0]}
    ours = [added[OURS] for added in measured]
    return {
        "name": name,
        "unit": "ns added to an ASGI call",
        "ours": mean.pop(OURS),
        "goal": GOALS_NS[name],
        "better": "lower",
        "peers": mean,
        "spread": round((max(ours) - min(ours)) / 2 / fmean(ours), 3),
        "command": "python -m tests.performance.middleware",
    }


if __name__ == "__main__":
    write("middleware", rows())
