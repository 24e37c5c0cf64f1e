"""Disks as full as a test wants them: what node_exporter tells, with other amounts of free space.

A disk of this machine cannot be filled up by a test, and may be full already.
"""

from __future__ import annotations

import re
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

_AVAIL = "node_filesystem_avail_bytes"
_SIZE = re.compile(r"^node_filesystem_size_bytes(\{.*\}) (\S+)$", re.MULTILINE)
# So that there is one also where this machine shows none, as in a container.
_DATA = '{device="/dev/data",fstype="ext4",mountpoint="/data"}'
_DATA_SERIES = f"node_filesystem_size_bytes{_DATA} 1e+12\nnode_filesystem_readonly{_DATA} 0\n"


class Disks:
    """Passes on what node_exporter tells, but that this share of every disk is free."""

    def __init__(self, node_exporter: str, *, free: float) -> None:
        """Start to serve what is at `node_exporter` (host:port)."""
        self.free = free
        self._source = f"http://{node_exporter}/metrics"
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        """Where Prometheus scrapes: host:port."""
        return f"127.0.0.1:{self._server.server_port}"

    def page(self) -> bytes:
        """The metrics, with other disks."""
        with urllib.request.urlopen(self._source, timeout=30) as response:
            text: str = response.read().decode()
        told = "".join(line for line in text.splitlines(keepends=True) if _AVAIL not in line) + _DATA_SERIES
        free = "".join(f"{_AVAIL}{labels} {self.free * float(size)}\n" for labels, size in _SIZE.findall(told))
        return (told + free).encode()

    def __enter__(self) -> Disks:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(disks: Disks) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = disks.page()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
