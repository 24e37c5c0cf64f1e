"""The HTTP servers for processes without one: the native one, and the one in Python where that cannot be."""

import ctypes
import errno
import gzip
import http.client
import os
import socket
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client import Gauge as TheirGauge

from reqtrail.metrics import Segment, start_http_server

OPENMETRICS = "application/openmetrics-text"


def scrape(port: int, timeout: float = 30) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=timeout) as response:
        body: str = response.read().decode()
    return body


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost", "::1"])
@pytest.mark.parametrize("kind", ["native", "python"])
def test_it_answers_what_it_should(segment: Segment, kind: str, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "python":
        monkeypatch.setitem(sys.modules, "reqtrail._metrics_server", None)
    server, thread = start_http_server(0, address, segment=segment)
    try:
        assert isinstance(thread, threading.Thread) == (kind == "python")
        connection = http.client.HTTPConnection(address, server.server_port, timeout=30)

        def ask(method: str, path: str, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
            connection.request(method, path, headers={name.replace("_", "-"): text for name, text in headers.items()})
            response = connection.getresponse()
            return response, response.read()

        response, body = ask("GET", "/metrics", Accept_Encoding="gzip")
        assert response.headers["Content-Encoding"] == "gzip"
        assert b'hits_total{a="x"} 3\n' in gzip.decompress(body)
        assert ask("GET", "/", Accept=OPENMETRICS)[1].endswith(b"# EOF\n")
        names = "name%5B%5D=hits_total&name[]=wait_sum"
        response, body = ask("HEAD", "/metrics")
        assert (response.status, body) == (200, b"")
        assert int(response.headers["Content-Length"]) > 100
        assert b"# {request_id=" in ask("GET", "/", Accept=OPENMETRICS)[1]
        assert ask("POST", "/metrics")[0].status == 405
        assert ask("GET", "/elsewhere")[0].status == 404
        _, body = ask("GET", f"/metrics?{names}")
        lines = body.decode().splitlines()
        assert [line for line in lines if not line.startswith("#")] == ['hits_total{a="x"} 3', "wait_sum 1"]
        assert "# TYPE wait histogram" in lines
        assert "Accept-Encoding" not in ask("GET", "/", Accept_Encoding="gzip;q=0")[0].headers
    finally:
        server.shutdown()
        server.server_close()
        thread.join(60)
        assert not thread.is_alive()


def test_the_native_server_answers_while_python_is_busy(segment: Segment) -> None:
    server, _ = start_http_server(0, segment=segment)
    try:
        url = f"http://127.0.0.1:{server.server_port}/"
        code = f"import urllib.request; assert b'hits_total' in urllib.request.urlopen({url!r}, timeout=20).read()"
        client = subprocess.Popen([sys.executable, "-c", code])
        status = ctypes.c_int(-1)
        # Called through PyDLL it keeps the interpreter's lock until the client has ended.
        assert ctypes.PyDLL(None).waitpid(client.pid, ctypes.byref(status), 0) == client.pid
        client.returncode = status.value
        assert status.value == 0
    finally:
        server.shutdown()


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_forked_child_does_not_hold_the_port(segment: Segment, address: str) -> None:
    server, thread = start_http_server(0, address, segment=segment)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writer)
        os.read(reader, 1)  # until the parent is through
        os._exit(0)
    try:
        server.shutdown()
        server.server_close()
        thread.join(60)
        again, _ = start_http_server(server.server_port, address, segment=segment)
        again.shutdown()
        again.server_close()
        with pytest.raises(OSError):  # noqa: PT011 - nobody listens: whatever the system calls it
            socket.create_connection((address, server.server_port), timeout=30)
    finally:
        os.close(writer)
        os.close(reader)
        assert os.waitpid(pid, 0)[1] == 0


def test_clients_that_say_nothing_do_not_keep_it_from_answering(segment: Segment) -> None:
    server, _ = start_http_server(0, segment=segment)
    silent = [
        socket.create_connection(("127.0.0.1", server.server_port)) for _ in range(5)
    ]  # one more than it has threads
    try:
        assert "hits_total" in scrape(server.server_port, timeout=60)
    finally:
        for connection in silent:
            connection.close()
        server.shutdown()


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_port_that_is_taken_is_an_error_that_says_so(segment: Segment, address: str) -> None:
    server, _ = start_http_server(0, address, segment=segment)
    try:
        with pytest.raises(OSError, match="in use") as refused:
            start_http_server(server.server_port, address, segment=segment)
        assert refused.value.errno == errno.EADDRINUSE
    finally:
        server.shutdown()


def test_a_registry_of_prometheus_client_is_included(segment: Segment) -> None:
    registry = CollectorRegistry()
    TheirGauge("theirs", "Theirs", registry=registry).set(5)
    server, thread = start_http_server(0, segment=segment, include=registry)
    try:
        body = scrape(server.server_port)
        assert "theirs 5.0\n" in body
        assert 'hits_total{a="x"} 3\n' in body
    finally:
        server.shutdown()
        server.server_close()
        thread.join(60)


def test_a_process_that_ends_while_it_serves_ends_well(tmp_path: Path) -> None:
    code = "from reqtrail.metrics import *; Counter('hits', 'Hits').inc(); start_http_server(0)"
    environment = {**os.environ, "REQTRAIL_METRICS_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
