"""Calls an ASGI application without a server and keeps what it sends."""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from reqtrail import CorrelationIDMiddleware

App = Callable[[Any, Any, Any], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]


def http_scope(headers: Headers = (), **more: Any) -> dict[str, Any]:
    return {"type": "http", "method": "GET", "path": "/", "headers": list(headers), "state": {}} | more


class Client:
    """The server's side of one request."""

    def __init__(self) -> None:
        self.sent: list[MutableMapping[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int:
        status: int = self.sent[0]["status"]
        return status

    def values(self, name: bytes) -> list[bytes]:
        """All values of a response header, in the order in which they were sent."""
        return [value for key, value in self.sent[0]["headers"] if key.lower() == name]

    @property
    def request_id(self) -> str:
        (value,) = self.values(b"x-request-id")
        return value.decode()


async def call(app: App, headers: Headers = (), **scope: Any) -> Client:
    client = Client()
    await app(http_scope(headers, **scope), client.receive, client.send)
    return client


def start(app: Callable[..., Any], scope: dict[str, Any] | None = None) -> Any:
    """The coroutine of one request through the middleware, for an application that neither receives nor sends."""
    middleware: Any = CorrelationIDMiddleware(app)
    return middleware(http_scope() if scope is None else scope, None, None)


async def answer(send: Any, status: int = 200, headers: Any = (), body: bytes = b"ok") -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})
