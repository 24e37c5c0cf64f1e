"""Collects what every part of the running example knows about one request id."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from psycopg.rows import dict_row

from devstack.commandcenter import CommandCenter

_OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}


@dataclass
class Trail:
    """One request id, as each part saw it."""

    request_id: str
    response: httpx.Response
    api_lines: list[dict[str, Any]] = field(default_factory=list)
    worker_lines: list[dict[str, Any]] = field(default_factory=list)
    database_rows: list[dict[str, Any]] = field(default_factory=list)
    metric_lines: list[str] = field(default_factory=list)


def json_lines(log: Path) -> list[dict[str, Any]]:
    """The JSON lines of a log file. Passed over: what a server wrote before JSON was set up, and half a line."""
    written = log.read_text(errors="replace")
    finished = written[: written.rfind("\n") + 1]
    return [json.loads(line) for line in finished.splitlines() if line.startswith("{")]


def collect(stack: CommandCenter, response: httpx.Response, *, task: bool = False, timeout: float = 30) -> Trail:
    """What is known about the request that `response` answered, once it is over.

    It is over when its access line is written, which comes after the response, and with `task` when the task that it
    started has ended too.

    Raises:
        TimeoutError: A log does not tell of the end within `timeout` seconds.
    """
    request_id = response.headers["X-Request-ID"]
    _await_line(stack.log("api"), "reqtrail.access", request_id, timeout)
    if task:
        _await_line(stack.log("worker"), "reqtrail.task", request_id, timeout)
    return Trail(
        request_id=request_id,
        response=response,
        api_lines=_lines_of(stack.log("api"), request_id),
        worker_lines=_lines_of(stack.log("worker"), request_id),
        database_rows=_rows_of(stack, request_id),
        metric_lines=_exemplars_of(stack, request_id),
    )


def _await_line(log: Path, logger: str, request_id: str, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while not any(line["logger"] == logger for line in _lines_of(log, request_id)):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{log.name} has no {logger} line of request {request_id} after {timeout:g} s")
        time.sleep(0.02)


def _lines_of(log: Path, request_id: str) -> list[dict[str, Any]]:
    return [line for line in json_lines(log) if line.get("request_id") == request_id]


def _rows_of(stack: CommandCenter, request_id: str) -> list[dict[str, Any]]:
    with stack.connect() as connection, connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute("SELECT * FROM pg_stat_requests(%s)", [request_id]).fetchall()


def _exemplars_of(stack: CommandCenter, request_id: str) -> list[str]:
    exposition = httpx.get(f"{stack.url}/metrics", headers=_OPENMETRICS).text
    return [line for line in exposition.splitlines() if f'# {{request_id="{request_id}"}}' in line]
