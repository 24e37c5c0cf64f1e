"""The clients: requests to the example application, and what became of each."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from typing import NamedTuple

import httpx

CLIENTS = 8
_PAUSE_SECONDS = 0.05  # of each client between two requests: load, but no overload on two cores


class Kind(NamedTuple):
    """A sort of request."""

    method: str
    path: str
    handler: str
    status: int
    """What is answered when nothing is disturbed."""


SYNC = "/api/v1/repositories/{id}/sync"
LIST = Kind("GET", "/api/v1/repositories", "/api/v1/repositories", 200)
SYNC_ONE = Kind("POST", "/api/v1/repositories/20/sync", SYNC, 202)
KINDS = [
    *(Kind("POST", f"/api/v1/repositories/{number}/sync", SYNC, 202) for number in range(1, 11)),
    *[LIST] * 6,
    Kind("GET", "/api/v1/repositories/commits", "/api/v1/repositories/commits", 200),
    Kind("POST", "/api/v1/repositories/999/sync", SYNC, 404),
    Kind("GET", "/api/v1/trigger-error", "/api/v1/trigger-error", 500),
]


@dataclass
class Answer:
    """A request that was answered."""

    request_id: str
    kind: Kind
    status: int
    started: float
    ended: float


@dataclass
class Ledger:
    """What the clients saw. Written by the thread of the load; read when that is paused."""

    answers: list[Answer] = field(default_factory=list)
    broken: Counter[str] = field(default_factory=Counter)
    """Requests without an answer, by handler: their server was killed, or gave up."""
    wrong_ids: list[str] = field(default_factory=list)
    """In words: answers whose X-Request-ID was not the one that was sent."""

    def note(self, request_id: str, kind: Kind, response: httpx.Response, started: float) -> None:
        """A request was answered."""
        self.answers.append(Answer(request_id, kind, response.status_code, started, time.monotonic()))
        returned = response.headers.get_list("X-Request-ID")
        if returned != [request_id]:
            self.wrong_ids.append(f"{kind.method} {kind.path} {response.status_code}: {returned}, not {request_id}")


class Load:
    """Clients in a thread of their own that send requests until the end of the `with` block."""

    def __init__(self, url: str, seed: int) -> None:
        self.ledger = Ledger()
        self._url = url
        self._random = random.Random(seed)
        self._over = threading.Event()
        self._paused = threading.Event()
        self._in_flight = 0
        self._sent = 0
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def pause(self) -> None:
        """Send nothing more, and wait for what is under way."""
        self._paused.set()
        while self._in_flight:
            time.sleep(0.01)

    def go_on(self) -> None:
        """Send again."""
        self._paused.clear()

    def probe(self, kind: Kind) -> str | None:
        """Send one request from the calling thread. Returns its id if it was answered as it should be."""
        request_id = self._new_id()
        started = time.monotonic()
        try:
            address = f"{self._url}{kind.path}"
            response = httpx.request(kind.method, address, headers={"X-Request-ID": request_id}, timeout=60)
        except httpx.TransportError:
            self.ledger.broken[kind.handler] += 1
            return None
        self.ledger.note(request_id, kind, response, started)
        return request_id if response.status_code == kind.status else None

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    async def _run(self) -> None:
        # uvicorn closes the connection behind an unhandled error: a client that reuses it would lose the next answer.
        limits = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(base_url=self._url, timeout=60, limits=limits) as client:
            await asyncio.gather(*(self._client(client) for _ in range(CLIENTS)))

    async def _client(self, client: httpx.AsyncClient) -> None:
        while not self._over.is_set():
            if not self._paused.is_set():
                self._in_flight += 1
                try:
                    await self._send(client, self._random.choice(KINDS))
                finally:
                    self._in_flight -= 1
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _send(self, client: httpx.AsyncClient, kind: Kind) -> None:
        request_id = self._new_id()
        started = time.monotonic()
        try:
            response = await client.request(kind.method, kind.path, headers={"X-Request-ID": request_id})
        except httpx.TransportError:
            self.ledger.broken[kind.handler] += 1
            return
        self.ledger.note(request_id, kind, response, started)

    def _new_id(self) -> str:
        self._sent += 1
        return f"soak-{self._sent}-{self._random.getrandbits(64):x}"
