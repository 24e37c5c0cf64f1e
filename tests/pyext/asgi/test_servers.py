"""Over a real socket: uvicorn with each of its HTTP parsers and event loops."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import websockets.asyncio.client

GIVEN = {"X-Request-ID": "over-the-wire"}
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Server:
    def __init__(self, folder: Path, *options: str, app: str = "app") -> None:
        self.log = folder / "server.log"
        self._ready = folder / "ready"
        command = [sys.executable, "-m", "uvicorn", f"tests.pyext.asgi.served_app:{app}", "--port", "0", *options]
        environment = os.environ | {"REQTRAIL_METRICS_DIR": str(folder)}
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            self.address = self._wait_for_address()
        except BaseException:
            self.stop()
            raise

    def _wait_for_address(self) -> str:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self._process.poll() is None:
            for line in self.log.read_text().splitlines():
                if "running on http://" in line:
                    address = line.split("running on http://")[1].split()[0]
                    if _accepts(address):
                        return address
            time.sleep(0.02)
        raise RuntimeError(f"uvicorn did not start: {self.log.read_text()}")

    def stop(self) -> None:
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def wait_for_line(self, text: str) -> None:
        deadline = time.monotonic() + 10
        while text not in self.log.read_text():
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)


def _accepts(address: str) -> bool:
    """With several workers the parent says that it runs before the first one listens."""
    host, port = address.rsplit(":", 1)
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
        return True
    return False


@contextlib.contextmanager
def _served(folder: Path, *options: str, app: str = "app") -> Iterator[Server]:
    server = Server(folder, *options, app=app)
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(params=[("httptools", "uvloop"), ("h11", "asyncio")], ids="-".join)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    http, loop = request.param
    with _served(tmp_path, "--http", http, "--loop", loop) as server:
        yield server


def test_a_request_has_no_traceparent_of_the_one_before_it_in_the_connection(server: Server) -> None:
    """uvicorn starts a pipelined request from within the one before it."""
    host, port = server.address.rsplit(":", 1)
    first = f"GET /trace HTTP/1.1\r\nhost: x\r\ntraceparent: {TRACEPARENT}\r\n\r\n"
    second = "GET /trace HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=30) as client, client.makefile("rb") as answers:
        client.sendall((first + second).encode())
        bodies = re.findall(rb"\r\n\r\n(null|\"[^\"]*\")", answers.read())
    assert bodies == [f'"{TRACEPARENT}"'.encode(), b"null"]


def test_requests_over_a_socket(server: Server) -> None:
    with httpx.Client(base_url=f"http://{server.address}") as client:
        response = client.get("/hello/you", headers=GIVEN)
        assert (response.json(), response.headers["x-request-id"]) == ("over-the-wire", "over-the-wire")
        generated = client.get("/hello/you")
        assert generated.json() == generated.headers["x-request-id"] != "over-the-wire"
        assert client.get("/nowhere", headers=GIVEN).headers["x-request-id"] == "over-the-wire"

        failed = client.get("/boom", headers=GIVEN)
        assert failed.status_code == 500
        assert failed.json() == {"detail": "Internal server error", "request_id": "over-the-wire"}
        assert failed.headers["x-request-id"] == "over-the-wire"

    metrics = httpx.get(f"http://{server.address}/metrics").text  # uvicorn closes a connection after an exception
    server.wait_for_line("reqtrail.error | GET /boom 500")
    log = server.log.read_text()
    assert log.count("Traceback (most recent call last)") == 1
    assert log.count("ValueError: boom of the served application") == 1
    assert 'http_requests_total{method="GET",handler="/hello/{name}",status="200"} 2' in metrics
    assert 'commandcenter_errors_total{endpoint="/boom",status_code="500",error_type="ValueError"} 1' in metrics


def test_a_websocket_over_a_socket(server: Server) -> None:
    async def talk() -> tuple[object, str | None]:
        uri = f"ws://{server.address}/ws"
        async with websockets.asyncio.client.connect(uri, additional_headers=GIVEN) as socket:
            assert socket.response is not None
            return await socket.recv(), socket.response.headers.get("x-request-id")

    assert asyncio.run(talk()) == ("over-the-wire", "over-the-wire")


def test_uvicorn_recognises_a_bare_middleware_as_an_asgi_3_application(tmp_path: Path) -> None:
    with _served(tmp_path, app="bare") as server:
        response = httpx.get(f"http://{server.address}/", headers=GIVEN)
    assert (response.text, response.headers["x-request-id"]) == ("over-the-wire", "over-the-wire")


def test_two_workers_count_into_one_total_and_never_share_an_id(tmp_path: Path) -> None:
    with _served(tmp_path, "--workers", "2") as server:
        address = f"http://{server.address}"
        ids = [httpx.get(f"{address}/hello/you").headers["x-request-id"] for _ in range(40)]
        metrics = httpx.get(f"{address}/metrics").text
    assert len(set(ids)) == 40
    assert 'http_requests_total{method="GET",handler="/hello/{name}",status="200"} 40' in metrics
