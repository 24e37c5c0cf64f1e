"""What the panels get when Grafana asks for the last minutes."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg
from psycopg.rows import dict_row

from devstack.prometheus import Prometheus
from tests.monitoring.dashboards.panel_queries import PanelQuery
from tests.monitoring.dashboards.sql_macros import MACROS, expanded
from tests.monitoring.dashboards.watched_application import WatchedApplication

RANGE_SECONDS = 900  # what went wrong must still be in it when the last test asks, on a slow machine too
STEP_SECONDS = 2
EVERYTHING = ".+"
"""What All stands for in the variables."""
_VARIABLES = {
    **dict.fromkeys(("job", "endpoint", "task", "queue", "instance", "database"), EVERYTHING),
    "__rate_interval": "10s",
    "__rate_interval_ms": "10000",
    "__range": f"{RANGE_SECONDS}s",
}


def prometheus_text(query: PanelQuery, **variables: str) -> str:
    """Return the PromQL that Prometheus is sent, everything chosen but what `variables` choose.

    Left out is the 0 that stands in for series that are not there: what is looked for is series.
    """
    return query.filled_in({**_VARIABLES, **variables}).replace(" or vector(0)", "")


def series_of(prometheus: Prometheus, query: PanelQuery, **variables: str) -> dict[str, list[float]]:
    """Return the numbers that a panel gets, but for NaN, by the labels of their series."""
    text = prometheus_text(query, **variables)
    if query.instant:
        found = [{**sample, "values": [sample["value"]]} for sample in prometheus.query(text)]
    else:
        end = time.time()
        found = prometheus.query_range(text, end - RANGE_SECONDS, end, STEP_SECONDS)
    numbers = {str(series["metric"]): [float(value) for _, value in series["values"]] for series in found}
    return {labels: [value for value in values if not math.isnan(value)] for labels, values in numbers.items()}


def samples_of(watched: WatchedApplication, query: PanelQuery, **variables: str) -> list[float]:
    """Return the numbers that a panel gets, of all its series."""
    return [value for values in series_of(watched.prometheus, query, **variables).values() for value in values]


def rows_of(watched: WatchedApplication, query: PanelQuery, request_id: str | None = None) -> list[dict[str, Any]]:
    """Return the rows that a panel gets, read as exporter_user; of a request that succeeded unless one is named."""
    end = datetime.now(timezone.utc)
    values: Mapping[str, str] = {**MACROS, "request_id": request_id or watched.finished_id}
    text = expanded(query.filled_in(values), end - timedelta(seconds=RANGE_SECONDS), end, STEP_SECONDS)
    with psycopg.connect(watched.reader_dsn, row_factory=dict_row) as reader:
        return reader.execute(text.encode()).fetchall()
