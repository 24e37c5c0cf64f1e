"""A small HTTP server that answers with JSON: for faults that a real server would not make."""

from __future__ import annotations

import json
import threading
import urllib.parse
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import TypeVar

_Server = TypeVar("_Server", bound="JsonServer")
Answer = Callable[[str, Mapping[str, str]], tuple[int, object]]
"""From the request's target and headers to a status and what is sent: JSON, or a text as it is."""


class JsonServer:
    """Serves on a free port of 127.0.0.1 while the block runs."""

    def __init__(self, answer: Answer | Mapping[str, object]) -> None:
        """Make one. `answer` is called, or has the bodies by their path; anything else is a 404."""
        if isinstance(answer, Mapping):
            bodies = answer
            answer = lambda target, _: _of_bodies(bodies, target)  # noqa: E731 - one of two ways to give it
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(answer))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self: _Server) -> _Server:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def _of_bodies(bodies: Mapping[str, object], target: str) -> tuple[int, object]:
    path = urllib.parse.urlsplit(target).path
    return (200, bodies[path]) if path in bodies else (404, "not found")


def _handler(answer: Answer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answer(self.path, dict(self.headers.items()))
            self.send_response(status)
            self.send_header("Content-Type", "text/plain" if isinstance(body, str) else "application/json")
            self.end_headers()
            self.wfile.write((body if isinstance(body, str) else json.dumps(body)).encode())

        def log_message(self, *_: object) -> None:
            pass

    return Handler
