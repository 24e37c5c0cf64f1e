"""Made-up data of an application with fifty endpoints, for asking what the dashboards' queries cost."""

from __future__ import annotations

import json
import random
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devstack.prometheus import Prometheus
from tests.monitoring.dashboards.panel_queries import PanelQuery

ENDPOINTS = 50
TASKS = 20
TABLES = 50
STATEMENTS = 100
SCRAPE_SECONDS = 15
HOUR, DAY = 3600, 86400
_BUCKETS = (".005", ".01", ".025", ".05", ".075", ".1", ".25", ".5", ".75", "1.0", "2.5", "5.0", "7.5", "10.0", "+Inf")
_VARIABLES = {
    **dict.fromkeys(("job", "endpoint", "task", "queue", "instance", "database"), ".+"),
    "__rate_interval": f"{4 * SCRAPE_SECONDS}s",
    "__rate_interval_ms": str(4000 * SCRAPE_SECONDS),
}


@dataclass(frozen=True)
class _Family:
    name: str
    type: str
    series: list[str]
    """What stands before the number: the name of the sample and its labels."""


def _families() -> Iterator[_Family]:
    api, worker, server = (f'job="{job}",instance="{job}:1"' for job in ("backend", "celery-worker", "postgres"))
    handlers = [f'method="GET",handler="/api/v1/things-{number}/{{id}}"' for number in range(ENDPOINTS)]
    tasks = [f'task="shop.task_{number}",queue="celery"' for number in range(TASKS)]
    tables = [f'datname="shop",schemaname="public",relname="table_{number}"' for number in range(TABLES)]
    states = ("active", "idle", "idle in transaction")
    queries = [f'user="shop",datname="shop",queryid="{number}"' for number in range(STATEMENTS)]

    def family(name: str, labels: Sequence[str], of: str, *, counter: bool = False) -> _Family:
        suffix = "_total" if counter else ""
        series = [f"{name}{suffix}{{{own},{of}}}" if own else f"{name}{suffix}{{{of}}}" for own in labels]
        return _Family(name, "counter" if counter else "gauge", series)

    def histogram(name: str, labels: Sequence[str], of: str) -> _Family:
        series = []
        for own in labels:
            series += [f'{name}_bucket{{{own},{of},le="{bound}"}}' for bound in _BUCKETS]
            series += [f"{name}_count{{{own},{of}}}", f"{name}_sum{{{own},{of}}}"]
        return _Family(name, "histogram", series)

    with_status = [f'{handler},status="{status}"' for handler in handlers for status in ("200", "404", "500")]
    failures = [
        f'endpoint="/api/v1/things-{number}/{{id}}",status_code="500",error_type="{kind}"'
        for number in range(ENDPOINTS)
        for kind in ("ValueError", "DBAPIError", "TimeoutError")
    ]
    yield family("http_requests", with_status, api, counter=True)
    yield histogram("http_request_duration_seconds", handlers, api)
    yield family("http_requests_inprogress", handlers, api)
    yield family("commandcenter_errors", failures, api, counter=True)
    yield family("reqtrail_db_pool_connections", [f'pool="shop",state="{s}"' for s in ("checked_out", "idle")], api)
    yield family("reqtrail_db_pool_limit", ['pool="shop"'], api)
    yield family("reqtrail_db_pool_waiting", ['pool="shop"'], api)
    yield histogram("reqtrail_db_pool_wait_seconds", ['pool="shop"'], api)
    yield family("process_cpu_seconds", [""], api, counter=True)
    yield family("process_resident_memory_bytes", [""], api)
    with_state = [f'{task},state="{state}"' for task in tasks for state in ("SUCCESS", "FAILURE", "RETRY")]
    yield family("celery_tasks", with_state, worker, counter=True)
    yield family("celery_tasks_sent", tasks, api, counter=True)
    yield family("celery_task_retries", tasks, worker, counter=True)
    yield family("celery_task_failures", [f'{t},error_type="KeyError"' for t in tasks], worker, counter=True)
    yield histogram("celery_task_duration_seconds", tasks, worker)
    yield histogram("celery_task_queue_wait_seconds", tasks, worker)
    yield family("celery_queue_depth", ['queue="celery"'], worker)
    yield family("celery_workers_active", [""], worker)
    yield family("celery_worker_tasks_active", [""], worker)
    yield family("celery_worker_up", ['hostname="celery@one"'], worker)
    for name in ("xact_commit", "xact_rollback", "tup_inserted", "tup_updated", "tup_deleted", "blks_hit", "blks_read"):
        yield family(f"pg_stat_database_{name}", ['datname="shop"'], server)
    for name in ("deadlocks", "conflicts", "numbackends"):
        yield family(f"pg_stat_database_{name}", ['datname="shop"'], server)
    yield family("pg_stat_activity_count", [f'datname="shop",state="{state}"' for state in states], server)
    yield family("pg_stat_activity_max_tx_duration", [f'datname="shop",state="{state}"' for state in states], server)
    yield family("pg_settings_max_connections", [""], server)
    yield family("pg_settings_superuser_reserved_connections", [""], server)
    yield family(
        "pg_locks_count", [f'datname="shop",mode="{mode}"' for mode in ("rowsharelock", "exclusivelock")], server
    )
    yield family("pg_database_size_bytes", ['datname="shop"'], server)
    yield family("pg_stat_user_tables_table_size_bytes", tables, server)
    yield family("pg_stat_user_tables_index_size_bytes", tables, server)
    yield family("pg_stat_statements_calls", queries, server, counter=True)
    yield family("pg_stat_statements_seconds", queries, server, counter=True)


def series_count() -> int:
    """Return how many series there are."""
    return sum(len(family.series) for family in _families())


def write(file: Path, start: int, end: int, step: int) -> None:
    """Write the samples of all series between two Unix times, `step` seconds apart, as OpenMetrics."""
    generator = random.Random(7)  # the same data each time
    with file.open("w") as text:
        for family in _families():
            text.write(f"# TYPE {family.name} {family.type}\n")
            for series in family.series:
                value = 0.0
                growth = generator.random()
                lines = []
                for moment in range(start, end, step):
                    value = value + growth * step if family.type != "gauge" else 100 * generator.random()
                    lines.append(f"{series} {value:.2f} {moment}\n")
                text.write("".join(lines))
        text.write("# EOF\n")


def blocks(directory: Path, file: Path, longest: str) -> None:
    """Add the samples of a file to the blocks in `directory`, which Prometheus can be started on."""
    command = [
        "promtool",
        "tsdb",
        "create-blocks-from",
        f"--max-block-duration={longest}",
        "openmetrics",
        file,
        directory,
    ]
    subprocess.run([str(word) for word in command], check=True, capture_output=True)


def ask(prometheus: Prometheus, query: PanelQuery, seconds_shown: int, end: float) -> dict[str, Any]:
    """Return Prometheus's answer to a panel that is 800 points wide: `result`, and `stats` of what it had to read."""
    step = max(SCRAPE_SECONDS, seconds_shown // 800)
    text = query.filled_in({**_VARIABLES, "__range": f"{seconds_shown}s"})
    asked: dict[str, object] = {"query": text, "stats": "all"}
    asked |= {"time": end} if query.instant else {"start": end - seconds_shown, "end": end, "step": step}
    kind = "query" if query.instant else "query_range"
    address = f"{prometheus.url}/api/v1/{kind}?{urllib.parse.urlencode(asked)}"
    with urllib.request.urlopen(address, timeout=60) as response:
        data: dict[str, Any] = json.load(response)["data"]
    return data


def full_minutes_ago(minutes: int) -> int:
    """The Unix time some minutes ago, at the beginning of a minute."""
    return (int(time.time()) // 60 - minutes) * 60
