"""What watching costs: seconds for the queries of a dashboard, and the server's CPU time for the exporter's scrapes.

Prometheus holds a month of made-up data of an application with fifty endpoints, the last six hours as if scraped every
15 seconds. PostgreSQL holds as many requests as it remembers, and a thousand different statements. A dashboard's
queries are asked one after the other; Grafana asks several at once.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import httpx

from devstack.postgres import Postgres
from devstack.postgres_exporter import PostgresExporter
from devstack.prometheus import Prometheus
from tests.monitoring.dashboards import made_up
from tests.monitoring.dashboards.panel_queries import NAMES, PanelQuery, queries_of
from tests.monitoring.dashboards.sql_macros import MACROS, expanded
from tests.monitoring.dashboards.watched_application import EXPORTER_USER_SQL, SETTINGS
from tests.performance.report import BenchRow, write

GOAL_SECONDS = 3.0
GOAL_PERCENT = 1.0
SHOWN = {"1 h": made_up.HOUR, "6 h": 6 * made_up.HOUR}
ROUNDS = 3
REQUESTS = 25_000
STATEMENTS = 1_000
SCRAPES = 50
SCRAPE_ROUNDS = 3
LAST_ID = f"request-{REQUESTS - 1}"


def rows() -> list[BenchRow]:
    """Measure and return the rows of this suite; about two minutes."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        end = _make_up_a_month(place)
        with Prometheus(place, {}) as prometheus, Postgres(place / "postgres", settings=SETTINGS) as server:
            _fill(server)
            made = [_dashboard_row(name, shown, prometheus, server, end) for shown in SHOWN for name in NAMES]
            return [*made, _exporter_row(server, place)]


def _make_up_a_month(place: Path) -> int:
    """Make the blocks; return the Unix time at which they end."""
    end = made_up.full_minutes_ago(1)
    recent = end - max(SHOWN.values()) - 2 * made_up.HOUR
    for start, stop, step, longest in (
        (end - 30 * made_up.DAY, recent, made_up.HOUR, "162h"),
        (recent, end, made_up.SCRAPE_SECONDS, "18h"),
    ):
        made_up.write(place / "samples", start, stop, step)
        made_up.blocks(place / "data", place / "samples", longest)
    (place / "samples").unlink()
    return end


def _fill(server: Postgres) -> None:
    with server.connect() as admin:
        admin.execute("CREATE EXTENSION pg_stat_statements; CREATE EXTENSION pg_stat_requests")
        admin.execute(EXPORTER_USER_SQL.read_bytes())
        for number in range(made_up.TABLES):
            admin.execute(f"CREATE TABLE table_{number} (id integer PRIMARY KEY, note text)".encode())
        for number in range(REQUESTS):
            statement = f"SELECT {number % STATEMENTS} AS column_{number % STATEMENTS}"
            tag = f"SET LOCAL pg_stat_requests.request_id = 'request-{number}'"
            admin.execute(f"BEGIN; {tag}; {statement}; COMMIT".encode())


def _dashboard_row(name: str, shown: str, prometheus: Prometheus, server: Postgres, end: int) -> BenchRow:
    queries = list(queries_of(name))
    with server.connect("postgres", "exporter_user") as reader:

        def ask(query: PanelQuery) -> None:
            if query.language == "promql":
                made_up.ask(prometheus, query, SHOWN[shown], end)
            elif query.language == "sql":
                until = datetime.now(timezone.utc)
                text = query.filled_in({**MACROS, "request_id": LAST_ID})
                reader.execute(expanded(text, until - timedelta(seconds=SHOWN[shown]), until, 15).encode()).fetchall()

        def ask_all() -> None:
            for query in queries:
                ask(query)

        seconds = _repeated(ask_all, ROUNDS)
    return {
        "name": f"dashboard {name}: its queries, {shown} shown",
        "unit": "s",
        "ours": round(statistics.median(seconds), 3),
        "goal": GOAL_SECONDS if shown == "1 h" else None,
        "better": "lower",
        "peers": {},
        "spread": _spread(seconds),
        "command": "python -m tests.performance.monitoring",
    }


def _repeated(work: Callable[[], None], times: int) -> list[float]:
    """The seconds that each time took."""
    measured = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        measured.append(time.perf_counter() - started)
    return measured


def _spread(values: list[float]) -> float:
    return round((max(values) - min(values)) / 2 / statistics.median(values), 3)


def _exporter_row(server: Postgres, place: Path) -> BenchRow:
    """CPU time of all processes of the server for a scrape, as a part of what one core has in 15 seconds."""
    with PostgresExporter(place / "exporter", server.dsn("postgres", "exporter_user")) as exporter:
        url = f"http://{exporter.address}/metrics"
        httpx.get(url, timeout=60).raise_for_status()  # the first one connects
        percents = []
        for _ in range(SCRAPE_ROUNDS):
            before = _cpu_seconds(server.process.pid)
            for _ in range(SCRAPES):
                httpx.get(url, timeout=60).raise_for_status()
            used = _cpu_seconds(server.process.pid) - before
            percents.append(100 * used / SCRAPES / made_up.SCRAPE_SECONDS)
    return {
        "name": "postgres_exporter: the server's CPU time for a scrape every 15 s",
        "unit": "% of a core",
        "ours": round(statistics.median(percents), 3),
        "goal": GOAL_PERCENT,
        "better": "lower",
        "peers": {},
        "spread": _spread(percents),
        "command": "python -m tests.performance.monitoring",
    }


def _cpu_seconds(postmaster: int) -> float:
    """What the server's processes have used, ended ones included (proc(5): utime, stime, cutime, cstime)."""
    ticks = sum(_ticks(postmaster, with_ended=True))
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    for child in children:
        try:
            ticks += sum(_ticks(int(child), with_ended=False))
        except FileNotFoundError:  # ended meanwhile: counted with the ended ones the next time
            continue
    return ticks / os.sysconf("SC_CLK_TCK")


def _ticks(pid: int, *, with_ended: bool) -> list[int]:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return [int(field) for field in fields[11 : 15 if with_ended else 13]]


if __name__ == "__main__":
    write("monitoring", rows())
