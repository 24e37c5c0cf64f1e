"""Requests through uvicorn, from a client in another process: how many a second, and how long they take.

One uvicorn process for each middleware, around the same small FastAPI application. wrk, which is C, asks them over
loopback in turn, in many short rounds, so that a change of the machine's speed meets all; where there are two
processors, it has one to itself. The servers are always busy: what makes each request longer makes the queue longer.
uvicorn's access log is off, so that who writes an access line does more than the bare application.

Two of the servers have no middleware. By how much they differ from each other is the noise of the measurement.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TypedDict

from devstack.postgres_tree import REPOSITORY
from devstack.process import ServerProcess, accepts_connections, free_port
from tests.performance import http_peers, served_app
from tests.performance.report import BenchRow, write

ROUNDS = 5
SECONDS = 1
CONNECTIONS = 8
PEERS_OF = {
    served_app.ID_ALONE: (http_peers.ASGI_CORRELATION_ID, http_peers.STARLETTE_CONTEXT),
    served_app.METRICS_TOO: (
        http_peers.INSTRUMENTATOR,
        http_peers.STARLETTE_EXPORTER,
        http_peers.OPENTELEMETRY_FASTAPI,
    ),
    served_app.LINE_TOO: (http_peers.BASE_HTTP_BY_HAND,),
}
SERVED = (served_app.BARE, served_app.BARE_AGAIN, *PEERS_OF, *(peer for peers in PEERS_OF.values() for peer in peers))
COMMAND = "python -m tests.performance.http_server"


class Load(TypedDict):
    """What one round of one server showed."""

    requests: int
    duration: int
    """us"""
    p50: float
    """us"""
    p99: float
    """us"""
    errors: int
    cpu: float
    """us of processor time that the server took"""


Measured = dict[str, list[Load]]
"""By middleware, the rounds."""
Quantity = Callable[[Load], float]


def _throughput(load: Load) -> float:
    return load["requests"] / load["duration"] * 1e6


def _p50(load: Load) -> float:
    return load["p50"]


def _p99(load: Load) -> float:
    return load["p99"]


def _cpu(load: Load) -> float:
    return load["cpu"] / load["requests"]


def _on_processor(number: int) -> list[str]:
    """The beginning of a command that keeps a process on one of the first two processors, if there are two."""
    processors = sorted(os.sched_getaffinity(0))
    return ["taskset", "-c", str(processors[number])] if len(processors) > 1 else []


class _Served:
    """A uvicorn process of its own around the application with one middleware."""

    def __init__(self, variant: str, folder: Path) -> None:
        folder.mkdir()
        self._variant = variant
        self._port = free_port()
        uvicorn = [sys.executable, "-m", "uvicorn", "--factory", "tests.performance.served_app:make"]
        options = ["--port", str(self._port), "--no-access-log", "--log-level", "warning"]
        self._process = ServerProcess(
            [*_on_processor(0), *uvicorn, *options],
            log=folder / "log",
            env={served_app.VARIANT: variant, "REQTRAIL_METRICS_DIR": str(folder)},
            cwd=REPOSITORY,
        )
        self.stop = self._process.stop

    def await_ready(self) -> None:
        self._process.await_ready(lambda: accepts_connections(self._port), f"uvicorn with {self._variant}")

    def _cpu_us(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") * 1e6

    def load(self) -> Load:
        """Put it under load for one round."""
        script = str(Path(__file__).with_name("wrk_report.lua"))
        url = f"http://127.0.0.1:{self._port}/items/5"
        wrk = ["wrk", "-t", "1", "-c", str(CONNECTIONS), "-d", f"{SECONDS}s", "-s", script, url]
        before = self._cpu_us()
        done = subprocess.run([*_on_processor(1), *wrk], check=True, capture_output=True, text=True)
        load: Load = json.loads(done.stdout.splitlines()[-1]) | {"cpu": self._cpu_us() - before}
        if load["errors"] or not load["requests"]:
            raise RuntimeError(f"the server with {self._variant} did not answer all requests:\n{done.stdout}")
        return load


def _measure() -> Measured:
    measured: Measured = {variant: [] for variant in SERVED}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        servers = {}
        for index, variant in enumerate(SERVED):
            servers[variant] = _Served(variant, Path(folder) / str(index))
            stack.callback(servers[variant].stop)
        for server in servers.values():
            server.await_ready()
        for round_ in range(ROUNDS + 1):
            for variant, server in servers.items():
                load = server.load()
                if round_ > 0:  # the first one warms up
                    measured[variant].append(load)
    return measured


def _half_range(values: list[float]) -> float:
    return (max(values) - min(values)) / 2


def _absolute(
    measured: Measured, ours: str, name: str, unit: str, quantity: Quantity, peers: tuple[str, ...]
) -> BenchRow:
    values = [quantity(load) for load in measured[ours]]
    middle = statistics.median(values)
    return {
        "name": f"through uvicorn, {name}: {ours}",
        "unit": unit,
        "ours": round(middle, 1),
        "goal": None,
        "better": "higher" if quantity is _throughput else "lower",
        "peers": {peer: round(statistics.median(map(quantity, measured[peer])), 1) for peer in peers},
        "spread": round(_half_range(values) / middle, 3),
        "command": COMMAND,
    }


def _parts_of_bare(measured: Measured, variant: str) -> list[float]:
    """In each round, the p99 as a part of that of the server without a middleware."""
    bare = measured[served_app.BARE]
    return [_p99(load) / _p99(without) for load, without in zip(measured[variant], bare, strict=True)]


def _part_of_bare(measured: Measured, ours: str, peers: tuple[str, ...]) -> BenchRow:
    parts = _parts_of_bare(measured, ours)
    middle = statistics.median(parts)
    noise = _half_range(_parts_of_bare(measured, served_app.BARE_AGAIN))
    return {
        "name": f"through uvicorn, p99 as a part of no middleware's, goal 1 + noise: {ours}",
        "unit": "x",
        "ours": round(middle, 3),
        "goal": round(1 + noise, 3),
        "better": "lower",
        "peers": {peer: round(statistics.median(_parts_of_bare(measured, peer)), 3) for peer in peers},
        "spread": round(_half_range(parts) / middle, 3),
        "command": COMMAND,
    }


def _rows_of(measured: Measured, ours: str, peers: tuple[str, ...]) -> list[BenchRow]:
    beside = (served_app.BARE, *peers)
    return [
        _absolute(measured, ours, "throughput", "requests/s", _throughput, beside),
        _absolute(measured, ours, "p50", "us", _p50, beside),
        _absolute(measured, ours, "p99", "us", _p99, beside),
        _absolute(measured, ours, "processor time of the server", "us a request", _cpu, beside),
        _part_of_bare(measured, ours, (served_app.BARE_AGAIN, *peers)),
    ]


def rows() -> list[BenchRow]:
    """Measure and return the rows of this suite; about 80 seconds."""
    measured = _measure()
    return [row for ours, peers in PEERS_OF.items() for row in _rows_of(measured, ours, peers)]


if __name__ == "__main__":
    write("http_server", rows())
