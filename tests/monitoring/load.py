"""Clients of the example application that never stop, whatever the answers are."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Sequence
from types import TracebackType

import httpx

NORMAL = [
    ("GET", "/api/v1/repositories"),
    ("POST", "/api/v1/repositories/3/sync"),
    ("GET", "/api/v1/repositories/commits"),
    ("GET", "/health"),
    ("POST", "/api/v1/repositories/5/sync"),
    ("GET", "/api/v1/repositories"),
    ("GET", "/api/v1/reports/slow"),
    ("POST", "/api/v1/repositories/999/sync"),  # 404 is no error
]


class Load:
    """Threads that send these requests in turn, each `pause` seconds after the answer to the last one."""

    def __init__(
        self, url: str, requests: Sequence[tuple[str, str]] = NORMAL, *, threads: int = 2, pause: float = 0.1
    ) -> None:
        """Begin."""
        self._url = url
        self._requests = requests
        self._pause = pause
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(number,)) for number in range(threads)]
        for thread in self._threads:
            thread.start()

    def _send(self, number: int) -> None:
        # uvicorn closes the connection behind an unhandled error: a client that reuses it would lose the next answer.
        with httpx.Client(base_url=self._url, timeout=30, limits=httpx.Limits(max_keepalive_connections=0)) as client:
            for method, path in itertools.islice(itertools.cycle(self._requests), number, None):
                if self._ended.wait(self._pause):
                    return
                with contextlib.suppress(httpx.TransportError):
                    client.request(method, path)

    def stop(self) -> None:
        """End."""
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Load:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
