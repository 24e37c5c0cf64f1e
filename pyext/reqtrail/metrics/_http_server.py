"""The metrics over HTTP from threads of this process, for processes without a server of their own."""

import atexit
import os
import socket
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from socketserver import ThreadingMixIn  # isort: skip

from reqtrail._native import Segment
from reqtrail.metrics import _processes
from reqtrail.metrics._segment import open_segment
from reqtrail.metrics._serving import wsgi_app

if TYPE_CHECKING:
    from reqtrail._metrics_server import HttpServer

_PATIENCE_SECONDS = 5


class MetricsServer(Protocol):
    """What `start_http_server()` returns first."""

    server_port: int

    def shutdown(self) -> None:
        """Stop answering, and wait until that is so."""

    def server_close(self) -> None:
        """Let the port go."""


class MetricsThread(Protocol):
    """What `start_http_server()` returns second."""

    def join(self, timeout: float | None = None) -> None:
        """Wait for the end of the server, `timeout` seconds at most."""

    def is_alive(self) -> bool:
        """Whether the server runs."""


class _NativeServer:
    """The native server, with the methods of those of the standard library, and of their threads."""

    def __init__(self, server: "HttpServer") -> None:
        self._server = server
        self._stopped = threading.Event()
        self.server_port = server.port

    def shutdown(self) -> None:
        self._server.stop()
        self._stopped.set()

    def server_close(self) -> None:
        self.shutdown()

    def join(self, timeout: float | None = None) -> None:
        self._stopped.wait(timeout)

    def is_alive(self) -> bool:
        return not self._stopped.is_set()

    def abandon_after_fork(self) -> None:
        self._server.abandon_after_fork()
        self._stopped.set()


class _Handler(WSGIRequestHandler):
    timeout = _PATIENCE_SECONDS

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the standard library
        """Say nothing: scrapes are frequent and dull."""


class _PythonServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def abandon_after_fork(self) -> None:
        self.socket.close()


class _PythonServer6(_PythonServer):
    address_family = socket.AF_INET6


_servers: "weakref.WeakSet[_NativeServer | _PythonServer]" = weakref.WeakSet()


def start_http_server(
    port: int, addr: str = "127.0.0.1", *, segment: Segment | None = None, include: Any = None
) -> tuple[MetricsServer, MetricsThread]:
    """Serve the metrics at / and /metrics from threads of this process; other paths get 404.

    port: the TCP port; 0 takes a free one.
    addr: an address of this host, IPv4 or IPv6 (`::1`), or a name of it.
    segment: whose metrics (default: that of the process).
    include: a registry of prometheus_client whose metrics are shown as well.

    Returns the server, whose `server_port` is the port and whose `shutdown()` and `server_close()` end it, and its
    thread. Raises OSError when it cannot listen there.

    The server is a native one that answers up to four scrapes at once, whatever Python does meanwhile. With a registry
    to `include`, and on a host without civetweb, it is one in Python. Both are gone in children after fork: the parent
    serves for all.
    """
    family, _, _, _, address = socket.getaddrinfo(addr, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    native = _start_native(str(address[0]), port, segment) if include is None else None
    if native is None:
        return _start_python(addr, port, family, segment, include)
    _servers.add(native)
    return native, native


def _start_native(address: str, port: int, segment: Segment | None) -> _NativeServer | None:
    """Return the server, or None where there is no native one. Raises OSError."""
    try:
        from reqtrail._metrics_server import HttpServer
    except ImportError:
        return None
    shown = segment or open_segment()
    return _NativeServer(HttpServer(shown, _processes.entered() if segment is None else None, address, port))


def _start_python(
    addr: str, port: int, family: int, segment: Segment | None, include: Any
) -> tuple[MetricsServer, MetricsThread]:
    metrics = wsgi_app(segment=segment, include=include)

    def at_its_path(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("PATH_INFO", "/") in ("", "/", "/metrics"):
            return metrics(environ, start_response)
        start_response("404 Not Found", [("Content-Length", "0")])
        return [b""]

    server_class = _PythonServer6 if family == socket.AF_INET6 else _PythonServer
    server = make_server(addr, port, at_its_path, server_class, handler_class=_Handler)
    thread = threading.Thread(target=server.serve_forever, name="reqtrail-metrics", daemon=True)
    thread.start()
    _servers.add(server)
    return server, thread


def _abandon_after_fork() -> None:
    for server in list(_servers):
        server.abandon_after_fork()
    _servers.clear()


def _stop_native() -> None:
    """End the native threads before the interpreter, and what they read, goes."""
    for server in list(_servers):
        if isinstance(server, _NativeServer):
            server.shutdown()


os.register_at_fork(after_in_child=_abandon_after_fork)
atexit.register(_stop_native)
