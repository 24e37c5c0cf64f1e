"""`make demo`: run the example on private servers, load it, and print the trail of a good and of a failed request.

usage: python -m examples.commandcenter.demo run|up|down
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx
from rich.console import Console
from rich.markup import escape

from devstack.commandcenter import CommandCenter
from devstack.monitoring import Monitoring, missing_programs
from devstack.postgres_tree import REPOSITORY, bindir
from devstack.unprivileged import remove
from examples.commandcenter.trail import Trail, collect
from reqtrail.cli.causes import Limits
from reqtrail.cli.html_page import html_page
from reqtrail.cli.sources import Source
from reqtrail.cli.sources.log_files import LogFilesSource
from reqtrail.cli.sources.metrics_page import MetricsPageSource
from reqtrail.cli.sources.postgres import PostgresSource
from reqtrail.cli.trail import gather

RUN_DIRECTORY = REPOSITORY / "build" / "demo"
UP_DIRECTORY = REPOSITORY / "build" / "demo-up"
UP_STATE = UP_DIRECTORY / "servers.json"
REQUESTS = 300
CONCURRENCY = 16
_PROGRAM = Path(sys.executable).with_name("reqtrail")
_SETTINGS = {
    # pg_stat_statements knows the texts of the statements; the log, who waited for whom.
    "shared_preload_libraries": "pg_stat_statements,pg_stat_requests",
    "log_lock_waits": "on",
}
COSTLIEST = "SELECT * FROM pg_stat_requests ORDER BY total_time DESC LIMIT 10;"

console = Console(highlight=False, soft_wrap=True)


def run() -> int:
    """Start, load, print the two trails, stop. Returns 0 when both trails are complete."""
    console.print("[dim]demo: starting PostgreSQL, Redis, two uvicorn workers and a Celery worker ...[/]")
    with _started(RUN_DIRECTORY) as stack:
        asyncio.run(_load(stack))
        with httpx.Client(base_url=stack.url) as client:
            good = client.post("/api/v1/repositories/7/sync")
            failed = client.get("/api/v1/trigger-error")
        good_trail = collect(stack, good, task=True)
        failed_trail = collect(stack, failed)
        _print_trail("a good request", good_trail)
        _print_trail("a failed request", failed_trail)
        missing = _gaps(good_trail, task=True) + _gaps(failed_trail, task=False)
        for trail in (good_trail, failed_trail):
            _write_page(stack, trail.request_id)
        console.rule("[bold]the same in one command[/]", align="left")
        logs = stack.directory / "*.log"
        console.print(f"timeline   {_PROGRAM} trace {failed_trail.request_id} --logs '{logs}'")
        console.print(f"pages      {stack.directory / good_trail.request_id}.html")
        console.print(f"           {stack.directory / failed_trail.request_id}.html")
        console.print(f"[dim]The servers are stopped now; what they logged is in {stack.directory}[/]")
    for gap in missing:
        console.print(f"[red]demo: {gap}[/]")
    return 1 if missing else 0


def up() -> int:
    """Start and load, leave the servers running and print where they are."""
    if UP_STATE.exists():
        console.print("demo-up: it runs already; `make demo-down` stops it", style="red")
        return 1
    stack = _started(UP_DIRECTORY, detached=True)
    _remember(stack.pids())
    try:
        monitoring = _monitoring(stack)
        asyncio.run(_load(stack))
        command = _configured(stack, monitoring)
        request_id = httpx.post(f"{stack.url}/api/v1/repositories/7/sync").headers["X-Request-ID"]
    except BaseException:
        down()
        raise
    psql = f"{bindir() / 'psql'} -h 127.0.0.1 -p {stack.postgres.port} -U postgres commandcenter"
    console.print(
        f"""
API        {stack.url}/docs
metrics    {stack.url}/metrics
logs       {stack.log("api")}
           {stack.log("worker")}
           {stack.postgres.log}
database   {psql}
           {COSTLIEST}

timeline   {command("trace", request_id)}
live       {command("top")}
check      {command("doctor")}
{_addresses(monitoring)}
try        curl -si -X POST {stack.url}/api/v1/repositories/7/sync
stop       make demo-down"""
    )
    return 0


def _started(directory: Path, *, detached: bool = False) -> CommandCenter:
    stack = CommandCenter(directory, postgres_settings=_SETTINGS, detached=detached)
    try:
        with stack.connect() as connection:
            connection.execute("CREATE EXTENSION pg_stat_statements")
    except BaseException:
        stack.stop()
        raise
    return stack


def _remember(pids: dict[str, int]) -> None:
    """Write down which servers `down` has to stop, in this order."""
    UP_STATE.write_text(json.dumps({name: {"pid": pid, "started": _start_time(pid)} for name, pid in pids.items()}))


def _monitoring(stack: CommandCenter) -> Monitoring | None:
    """Start what watches the application, where all of it is installed."""
    missing = missing_programs()
    if missing:
        console.print(
            f"[dim]demo-up: no Prometheus and Alertmanager, as these are not installed: {', '.join(missing)}[/]"
        )
        return None
    monitoring = Monitoring(stack, UP_DIRECTORY / "monitoring", detached=True)
    _remember(monitoring.pids() | stack.pids())
    return monitoring


def _addresses(monitoring: Monitoring | None) -> str:
    if monitoring is None:
        return ""
    return f"""
alerts     {monitoring.prometheus.url}/alerts (Prometheus)
           {monitoring.alertmanager.url} (Alertmanager)
"""


def down() -> int:
    """Stop what `up` left running."""
    if not UP_STATE.exists():
        console.print("demo-down: nothing runs")
        return 0
    for name, server in json.loads(UP_STATE.read_text()).items():
        _stop(name, server["pid"], server["started"])
    remove(UP_DIRECTORY / "postgres")
    shutil.rmtree(UP_DIRECTORY)
    return 0


def _configured(stack: CommandCenter, monitoring: Monitoring | None) -> Callable[..., str]:
    """Write a reqtrail.toml for this run. Returns what makes of arguments a line for the shell."""
    file = stack.directory / "reqtrail.toml"
    values = {
        "dsn": stack.postgres.dsn("commandcenter"),
        "logs": [str(stack.directory / "*.log"), str(stack.postgres.log)],
        "metrics": f"{stack.url}/metrics",
        "api": f"{stack.url}/health",
    }
    if monitoring is not None:
        values["prometheus"] = monitoring.prometheus.url
    file.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items()))
    return lambda *arguments: f"{_PROGRAM} {' '.join(arguments)} --config {file}"


def _write_page(stack: CommandCenter, request_id: str) -> None:
    sources: list[Source] = [
        PostgresSource(stack.postgres.dsn("commandcenter")),
        LogFilesSource([str(stack.directory / "*.log")]),
        MetricsPageSource(f"{stack.url}/metrics"),
    ]
    page = html_page(gather(request_id, sources, Limits()))
    (stack.directory / f"{request_id}.html").write_text(page, encoding="utf-8")


async def _load(stack: CommandCenter) -> None:
    """Send a few hundred requests, most of them good, some slow, some failing."""
    kinds = (
        [("POST", f"/api/v1/repositories/{number}/sync") for number in range(1, 9)]
        + [("GET", "/api/v1/repositories")] * 8
        + [("GET", "/api/v1/repositories/commits"), ("GET", "/api/v1/reports/slow"), ("GET", "/api/v1/trigger-error")]
        + [("POST", "/api/v1/repositories/999/sync")]
    )
    gate = asyncio.Semaphore(CONCURRENCY)
    statuses: Counter[int] = Counter()

    async def send(client: httpx.AsyncClient, method: str, path: str) -> None:
        async with gate:
            statuses[(await client.request(method, path)).status_code] += 1

    started = time.perf_counter()
    # uvicorn closes the connection behind an unhandled error: a client that reuses it would lose the next answer.
    one_request_each = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=stack.url, timeout=30, limits=one_request_each) as client:
        await asyncio.gather(*(send(client, *kinds[number % len(kinds)]) for number in range(REQUESTS)))
    seconds = time.perf_counter() - started
    counts = ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()))
    console.print(f"[dim]demo: {REQUESTS} requests in {seconds:.1f} s: {counts}[/]")


def _print_trail(title: str, trail: Trail) -> None:
    console.rule(f"[bold]{title}[/]: {trail.request_id}", align="left")
    request = trail.response.request
    console.print(f"[bold]response[/]   {request.method} {request.url.path} -> {trail.response.status_code}")
    console.print(f"           X-Request-ID: {trail.response.headers['X-Request-ID']}")
    if trail.response.is_server_error:
        console.print(f"           {escape(trail.response.text)}")
    for name, lines in (("API log", trail.api_lines), ("worker log", trail.worker_lines)):
        for line in lines:
            console.print(f"[bold]{name:<10}[/] {escape(_shortened(line))}")
    for row in trail.database_rows:
        numbers = {key: value for key, value in row.items() if key not in ("request_id", "first_seen", "last_seen")}
        values = " ".join(f"{key}={_rounded(value)}" for key, value in numbers.items() if value)
        console.print(f"[bold]PostgreSQL[/] {escape(values)}")
    for metric_line in trail.metric_lines:
        console.print(f"[bold]metrics[/]    {escape(metric_line)}")


def _shortened(line: dict[str, object]) -> str:
    """The line as JSON, its traceback cut to its first line."""
    traceback = str(line.get("exception", "")).splitlines()
    if len(traceback) > 1:
        line = {**line, "exception": f"{traceback[0]} ... ({len(traceback)} lines)"}
    return json.dumps(line)


def _rounded(value: object) -> object:
    return round(value, 3) if isinstance(value, float) else value


def _gaps(trail: Trail, *, task: bool) -> list[str]:
    """What is missing from a trail, in words."""
    parts = {"API log line": trail.api_lines, "PostgreSQL row": trail.database_rows, "exemplar": trail.metric_lines}
    if task:
        parts["worker log line"] = trail.worker_lines
    return [f"request {trail.request_id} has no {part}" for part, found in parts.items() if not found]


def _start_time(pid: int) -> str:
    """When a process started, in clock ticks since boot: with the pid it names a process for good (proc(5))."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def _stop(name: str, pid: int, started: str) -> None:
    def same_process_runs() -> bool:
        try:
            return _start_time(pid) == started and not _is_zombie(pid)
        except FileNotFoundError:
            return False

    if not same_process_runs():
        console.print(f"demo-down: {name} had ended by itself")
        return
    os.kill(pid, signal.SIGINT if name == "postgres" else signal.SIGTERM)
    deadline = time.monotonic() + 20
    while same_process_runs() and time.monotonic() < deadline:
        time.sleep(0.05)
    console.print(f"demo-down: {name} stopped")


def _is_zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def main(arguments: list[str]) -> int:
    """Run the command that `arguments` name."""
    commands = {"run": run, "up": up, "down": down}
    if len(arguments) != 1 or arguments[0] not in commands:
        print(__doc__, file=sys.stderr)
        return 2
    # A terminated demo stops its servers on the way out, as an interrupted one does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return commands[arguments[0]]()
    except KeyboardInterrupt:
        console.print("\ndemo: interrupted; all servers are stopped", style="red")
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
