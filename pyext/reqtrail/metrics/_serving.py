"""The metrics over HTTP, as an ASGI or a WSGI application."""

import gzip
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from reqtrail._native import Segment, accepts_gzip
from reqtrail.metrics._exposition import render

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_AsgiApp = Callable[[MutableMapping[str, Any], _Receive, _Send], Awaitable[None]]
_WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
_Answer = tuple[int, list[tuple[str, str]], bytes]
_REASONS = {200: "200 OK", 404: "404 Not Found", 405: "405 Method Not Allowed"}


def _answer(
    method: str, query: str, accept: str, accept_encoding: str, segment: Segment | None, include: Any
) -> _Answer:
    if method not in ("GET", "HEAD"):
        return 405, [("Allow", "GET, HEAD"), ("Content-Length", "0")], b""
    names = parse_qs(query).get("name[]", [])
    body, content_type = render(accept, segment=segment, names=names, include=include)
    headers = [("Content-Type", content_type), ("Vary", "Accept, Accept-Encoding")]
    if accepts_gzip(accept_encoding):
        body = gzip.compress(body, compresslevel=1)
        headers.append(("Content-Encoding", "gzip"))
    headers.append(("Content-Length", str(len(body))))
    return 200, headers, b"" if method == "HEAD" else body


def asgi_app(*, segment: Segment | None = None, include: Any = None) -> _AsgiApp:
    """Return an ASGI application that answers GET and HEAD with `render()`, to be mounted at /metrics.

    It obeys Accept, Accept-Encoding (gzip) and `name[]`; other methods get 405. `include` is a registry of
    prometheus_client whose metrics are shown as well.
    """

    async def metrics(scope: MutableMapping[str, Any], _receive: _Receive, send: _Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"metrics are served over http, not {scope['type']}")

        def header(wanted: bytes) -> str:
            return b",".join(value for name, value in scope["headers"] if name.lower() == wanted).decode("latin-1")

        query = scope.get("query_string", b"").decode("latin-1")
        status, headers, body = _answer(
            scope["method"], query, header(b"accept"), header(b"accept-encoding"), segment, include
        )
        raw = [(name.lower().encode(), value.encode()) for name, value in headers]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": body})

    return metrics


def wsgi_app(*, segment: Segment | None = None, include: Any = None) -> _WsgiApp:
    """Return a WSGI application that does the same as `asgi_app()`."""

    def metrics(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        status, headers, body = _answer(
            environ["REQUEST_METHOD"],
            environ.get("QUERY_STRING", ""),
            environ.get("HTTP_ACCEPT", ""),
            environ.get("HTTP_ACCEPT_ENCODING", ""),
            segment,
            include,
        )
        start_response(_REASONS[status], headers)
        return [body]

    return metrics
