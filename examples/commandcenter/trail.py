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
    """The JSON lines of a log file; lines that are not JSON are passed over."""
    lines = []
    for line in log.read_text(errors="replace").splitlines():
        if line.startswith("{"):
            lines.append(json.loads(line))
    return lines


def collect(stack: CommandCenter, response: httpx.Response) -> Trail:
    """What is known by now about the request that `response` answered."""
    request_id = response.headers["X-Request-ID"]
    return Trail(
        request_id=request_id,
        response=response,
        api_lines=_lines_of(stack.log("api"), request_id),
        worker_lines=_lines_of(stack.log("worker"), request_id),
        database_rows=_rows_of(stack, request_id),
        metric_lines=_exemplars_of(stack, request_id),
    )


def collect_when_task_is_done(stack: CommandCenter, response: httpx.Response, timeout: float = 30) -> Trail:
    """The same, after the task that the request started has ended.

    Raises:
        TimeoutError: The worker's log does not tell of its end within `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    request_id = response.headers["X-Request-ID"]
    while not any(line["logger"] == "reqtrail.task" for line in _lines_of(stack.log("worker"), request_id)):
        if time.monotonic() > deadline:
            raise TimeoutError(f"no task of request {request_id} ended within {timeout:g} s")
        time.sleep(0.05)
    return collect(stack, response)


def _lines_of(log: Path, request_id: str) -> list[dict[str, Any]]:
    return [line for line in json_lines(log) if line.get("request_id") == request_id]


def _rows_of(stack: CommandCenter, request_id: str) -> list[dict[str, Any]]:
    with stack.connect() as connection, connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute("SELECT * FROM pg_stat_requests(%s)", [request_id]).fetchall()


def _exemplars_of(stack: CommandCenter, request_id: str) -> list[str]:
    exposition = httpx.get(f"{stack.url}/metrics", headers=_OPENMETRICS).text
    return [line for line in exposition.splitlines() if f'# {{request_id="{request_id}"}}' in line]
