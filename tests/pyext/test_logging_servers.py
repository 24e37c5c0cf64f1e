"""Real servers: every line that they and the application write is one JSON line, and none comes twice."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

GENEROUS = 60
DOCS = Path(__file__).resolve().parent.parent.parent / "docs" / "logging.md"
APP = """
import logging
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
import reqtrail

def hello(request):
    logging.getLogger("shop").info("from the application")
    return PlainTextResponse("hello")

app = Starlette(routes=[Route("/hello", hello)])
reqtrail.install(app, service="servers", metrics_dir=".")

def make_without_logging():
    reqtrail.logging.reset()
    reqtrail.uninstall(app)
    reqtrail.install(app, service="servers", metrics_dir=".", log_level=None)
    return app

def make_uninstalled():
    reqtrail.uninstall(app)
    return app

if __name__ == "__main__":
    import sys, uvicorn
    uvicorn.run(app, port=int(sys.argv[1]))
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running(command: list[str], directory: Path) -> Iterator[Path]:
    """The server; yields where its output and its errors go."""
    (directory / "app.py").write_text(APP)
    output = directory / "output"
    with output.open("wb") as stream:
        server = subprocess.Popen(
            [sys.executable, *command],
            cwd=directory,
            stdout=stream,
            stderr=stream,
            env={**os.environ, "PYTHONPATH": str(directory)},
        )
        try:
            yield output
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(GENEROUS)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def get(url: str) -> None:
    deadline = time.monotonic() + GENEROUS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=GENEROUS) as response:
                assert response.read() == b"hello"
                return
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def lines_of(output: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Its lines as JSON, and those that are not."""
    lines, others = [], []
    for text in output.read_text().splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            others.append(text)
    return lines, others


def check(lines: list[dict[str, Any]], *expected: str) -> None:
    messages = [line["message"] for line in lines]
    (said,) = (line for line in lines if line["logger"] == "shop")
    (access,) = (line for line in lines if line["logger"] == "reqtrail.access")
    assert said["request_id"] == access["request_id"]
    for part in expected:
        assert len([message for message in messages if part in message]) == 1, messages


def test_uvicorn(tmp_path: Path) -> None:
    port = free_port()
    with running(["-m", "uvicorn", "app:app", "--port", str(port)], tmp_path) as output:
        get(f"http://127.0.0.1:{port}/hello")
    lines, others = lines_of(output)
    check(lines, "Application startup complete", "Finished server process")
    assert others == []


def test_uvicorn_started_by_the_application(tmp_path: Path) -> None:
    port = free_port()
    with running(["app.py", str(port)], tmp_path) as output:
        get(f"http://127.0.0.1:{port}/hello")
    lines, others = lines_of(output)
    check(lines, "Started server process", "Application startup complete")
    assert others == []


@pytest.mark.parametrize("worker", ["asgi", "uvicorn_worker.UvicornWorker"])
def test_gunicorn(tmp_path: Path, worker: str) -> None:
    port = free_port()
    command = ["-m", "gunicorn", "-k", worker, "-b", f"127.0.0.1:{port}", "-w", "2", "--access-logfile", "-", "app:app"]
    with running(command, tmp_path) as output:
        get(f"http://127.0.0.1:{port}/hello")
    lines, others = lines_of(output)
    check(lines)
    assert not [line for line in others if "/hello" in line]


def test_hypercorn(tmp_path: Path) -> None:
    port = free_port()
    command = ["-m", "hypercorn", "-b", f"127.0.0.1:{port}", "--access-logfile", "-", "app:app"]
    with running(command, tmp_path) as output:
        get(f"http://127.0.0.1:{port}/hello")
    lines, others = lines_of(output)
    check(lines, "Running on")
    assert others == []


@pytest.mark.parametrize(
    ("server", "options"),
    [
        ("uvicorn", ["--factory", "app:make_uninstalled", "--port"]),
        ("hypercorn", ["--access-logfile", "-", "app:make_uninstalled()", "-b"]),
    ],
)
def test_without_an_installation_the_servers_access_line_is_json(
    tmp_path: Path, server: str, options: list[str]
) -> None:
    port = free_port()
    address = str(port) if server == "uvicorn" else f"127.0.0.1:{port}"
    with running(["-m", server, *options, address], tmp_path) as output:
        get(f"http://127.0.0.1:{port}/hello")
    lines, others = lines_of(output)
    (access,) = (line for line in lines if "/hello" in line["message"])
    assert access["logger"] == f"{server}.access"
    assert others == []


def test_gunicorn_with_the_documented_dict_config(tmp_path: Path) -> None:
    port = free_port()
    (code,) = (code for code in re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.S) if "LOGGING = " in code)
    (tmp_path / "gunicorn.conf.py").write_text(code + "logconfig_dict = LOGGING\n")
    command = ["-m", "gunicorn", "-k", "asgi", "-b", f"127.0.0.1:{port}", "app:make_without_logging()"]
    with running(command, tmp_path) as output:
        get(f"http://127.0.0.1:{port}/hello")
    lines, others = lines_of(tmp_path / "app.log")
    check(lines, "Starting gunicorn", "Booting worker", "Shutting down")
    assert others == []
    assert output.read_text() == ""
