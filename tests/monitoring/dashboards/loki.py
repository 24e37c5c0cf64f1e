"""A real Loki for the log lines of the tests, where there is one on the PATH."""

from __future__ import annotations

import json
import shutil
import time
import urllib.parse
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from devstack.postgres_tree import REPOSITORY
from devstack.process import ServerProcess, answers_ok, free_port
from tests.monitoring.dashboards.collected import Collected

CONFIGURATION = REPOSITORY / "monitoring" / "loki" / "loki.yml"
FOUND = shutil.which("loki") is not None


class Loki:
    """Loki with the project's configuration, its files in a folder of its own."""

    def __init__(self, directory: Path) -> None:
        """Start it and wait until it is ready."""
        self.port = free_port()
        text = CONFIGURATION.read_text().replace("/loki", str(directory / "loki"))
        configuration = yaml.safe_load(text)
        configuration["server"] |= {
            "http_listen_address": "127.0.0.1",
            "http_listen_port": self.port,
            "grpc_listen_port": free_port(),
        }
        file = directory / "loki.json"
        file.write_text(json.dumps(configuration))  # JSON is YAML
        self._process = ServerProcess(["loki", f"-config.file={file}"], log=directory / "loki.log")
        self._process.await_ready(lambda: answers_ok(f"http://127.0.0.1:{self.port}/ready"), "loki", timeout=120)

    def push(self, lines: Iterable[Collected]) -> None:
        """Send lines as Alloy would, each at the time of the push."""
        now = time.time_ns()
        streams = [
            {"stream": line.labels, "values": [[str(now + number), line.line, line.metadata]]}
            for number, line in enumerate(lines)
        ]
        body = json.dumps({"streams": streams}).encode()
        self._open("push", data=body, headers={"Content-Type": "application/json"})

    def query(self, text: str) -> list[dict[str, Any]]:
        """Return the streams or series that a query gives for the last five minutes."""
        asked = urllib.parse.urlencode({"query": text, "start": time.time_ns() - 300 * 10**9, "end": time.time_ns()})
        result: list[dict[str, Any]] = json.loads(self._open(f"query_range?{asked}"))["data"]["result"]
        return result

    def _open(self, path: str, data: bytes | None = None, headers: dict[str, str] | None = None) -> bytes:
        address = f"http://127.0.0.1:{self.port}/loki/api/v1/{path}"
        with urllib.request.urlopen(urllib.request.Request(address, data, headers or {}), timeout=30) as response:
            read: bytes = response.read()
            return read

    def __enter__(self) -> Loki:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.stop()
